#pragma once

#include <breakwater/store/redis/lua/fragment.hpp>

namespace breakwater::redis::lua {

/// `RateMachine`, of an algorithm that has `take`, `reserve`, `give_back`, `pause`, `available` and `lease_end`. All
/// numbers zero are a fresh state, as no key is.
inline constexpr Fragment limiter{10, R"lua(
local function limiter(name, fields, algorithm)
  local machine = {name = name, fields = {'v', unpack(fields)}, patterns = {}, fresh = {}, may_go = true}
  machine.options, machine.lasts = algorithm.options, algorithm.lasts

  local function say_state(s)
    for i = 1, #fields do say(s[fields[i]]) end
  end
  local function say_grant(granted, never, retry_after)
    say_if(granted)
    say_if(never)
    say(retry_after)
  end

  function machine.take(s, o)
    local n = num()
    local granted, never, retry_after = algorithm.take(s, o, n, now)
    say_grant(granted, never, retry_after)
    return not granted, function() algorithm.give_back(s, o, n) end
  end
  function machine.lease(s, o)
    local n = clamp(num(), 1, max(algorithm.available(s, o), 1))
    local granted, never, retry_after = algorithm.take(s, o, n, now)
    say_grant(granted, never, retry_after)
    say(granted and n or 0)
    say(granted and algorithm.lease_end(o, n) or 0)
    return not granted, function() algorithm.give_back(s, o, n) end
  end
  function machine.reserve(s, o)
    local n, paused, max_wait = num(), num(), num()
    say_state(s)
    local granted, never, retry_after = algorithm.take(s, o, n, now + paused)
    if not granted and not never and retry_after <= max_wait - paused then
      algorithm.reserve(s, o, n, now + paused, retry_after)
      granted = true
    end
    say_grant(granted, never, retry_after + paused)
    say_state(s)
  end
  -- Undoes a reservation if nobody has changed the state since.
  function machine.cancel(s, o)
    local ready_at, before, is_current = num(), {}, true
    for i = 1, #fields do before[i] = num() end
    for i = 1, #fields do is_current = s[fields[i]] == num() and is_current end
    is_current = is_current and now < ready_at
    if is_current then
      for i = 1, #fields do s[fields[i]] = before[i] end
    end
    say_if(is_current)
  end
  function machine.give_back(s, o) algorithm.give_back(s, o, num()) end
  function machine.pause(s, o)
    local from, till = num(), num()
    if till > from then algorithm.pause(s, o, from, till) end
  end
  machine.read = say_state
  machines[name] = machine
end
)lua"};

}  // namespace breakwater::redis::lua
