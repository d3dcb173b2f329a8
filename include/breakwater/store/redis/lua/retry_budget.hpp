#pragma once

#include <breakwater/store/redis/lua/fragment.hpp>

namespace breakwater::redis::lua {

/// `RetryBudgetMachine`. The hash: `spent` thousandths of a permit, as of `at` (ms).
inline constexpr Fragment retry_budget{10, R"lua(
machines.retry_budget = (function()
  local machine = {name = 'retry_budget', fields = {'v', 'spent', 'at'}, patterns = {}, fresh = {}, may_go = true}
  local permit = 1000

  function machine.options() return {per_call = num(), per_ms = num(), burst = num()} end
  function machine.lasts(s, o)
    if o.per_ms == 0 then return 86400000000 end  -- time refills nothing; a day without calls does
    return (div(s.spent, o.per_ms) + 1) * 1000 + tolerance
  end

  local function refill(s, o)
    local now_ms = div(max(now, 0), 1000)
    local debt = min(s.spent, max(o.burst, permit))
    local passed = now_ms - s.at
    if debt == 0 or passed < -60000 then
      s.at, s.spent = now_ms, debt
    elseif passed > 0 then
      s.at, s.spent = now_ms, max(debt - passed * o.per_ms, 0)
    end
  end
  local function set(s, spent)
    s.spent = spent
    if spent == 0 then s.at = 0 end
  end
  local function give_back(s, o)
    refill(s, o)
    set(s, max(s.spent - permit, 0))
  end

  function machine.credit(s, o)
    refill(s, o)
    set(s, max(s.spent - o.per_call, 0))
  end
  function machine.take(s, o)
    refill(s, o)
    local over = s.spent + permit - o.burst
    if over <= 0 then
      set(s, s.spent + permit)
      say(1)
      say(-1)
      return false, function() give_back(s, o) end
    end
    say(0)
    if o.per_ms == 0 or o.burst < permit then
      say(-1)
    else
      say(div(over + o.per_ms - 1, o.per_ms))
    end
    return true
  end
  machine.give_back = give_back
  function machine.restore(s, o)
    local spent, age_ms = num(), num()
    refill(s, o)
    local most = max(o.burst, permit)
    local left = clamp(spent, 0, most) - min(age_ms, most) * o.per_ms
    set(s, min(s.spent + max(left, 0), most))
  end
  function machine.sync(s, o)
    local credits, takes, give_backs = num(), num(), num()
    refill(s, o)
    local owed = min(max(s.spent - o.per_call * credits, 0) + permit * takes, max(o.burst, permit))
    set(s, max(owed - permit * give_backs, 0))
    say(s.spent)
  end
  function machine.read(s)
    say(s.spent)
    say(s.at)
  end
  return machine
end)()
)lua"};

}  // namespace breakwater::redis::lua
