#pragma once

#include <breakwater/store/redis/lua/fragment.hpp>

namespace breakwater::redis::lua {

/// `RetryBudgetMachine`. The hash: `spent` thousandths of a permit, as of `at` (ms).
inline constexpr Fragment retry_budget{10, R"lua(
machines.retry_budget = function()
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
  function machine.undo(s, o)
    refill(s, o)
    set(s, max(s.spent - permit, 0))
  end

  function machine.run(command, s, o)
    if command == 'give_back' then return machine.undo(s, o) end
    if command ~= 'read' then refill(s, o) end
    local most = max(o.burst, permit)
    if command == 'take' then
      local over = s.spent + permit - o.burst
      if over <= 0 then
        set(s, s.spent + permit)
        say(1)
        say(-1)
        return false, 1
      end
      say(0)
      if o.per_ms == 0 or o.burst < permit then
        say(-1)
      else
        say(div(over + o.per_ms - 1, o.per_ms))
      end
      return true
    elseif command == 'credit' then
      set(s, max(s.spent - o.per_call, 0))
    elseif command == 'restore' then
      local spent, age_ms = num(), num()
      local left = clamp(spent, 0, most) - min(age_ms, most) * o.per_ms
      set(s, min(s.spent + max(left, 0), most))
    elseif command == 'sync' then
      local credits, takes, give_backs = num(), num(), num()
      local owed = min(max(s.spent - o.per_call * credits, 0) + permit * takes, most)
      set(s, max(owed - permit * give_backs, 0))
      say(s.spent)
    else  -- read
      say(s.spent)
      say(s.at)
    end
  end
  return machine
end
)lua"};

}  // namespace breakwater::redis::lua
