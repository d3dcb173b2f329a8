#pragma once

#include <breakwater/store/redis/lua/fragment.hpp>

namespace breakwater::redis::lua {

/// `RateMachine`, of an algorithm that has `take`, `reserve`, `give_back`, `pause`, `available` and `lease_end`. All
/// numbers zero are a fresh state, as no key is.
inline constexpr Fragment limiter{10, R"lua(
local function limiter(name, fields, algorithm)
  local function say_state(s)
    for i = 2, #fields do say(s[fields[i]]) end
  end
  local function say_grant(granted, never, retry_after)
    say_if(granted)
    say_if(never)
    say(retry_after)
  end

  local function run(command, s, o)
    if command == 'take' then
      local n = num()
      local granted, never, retry_after = algorithm.take(s, o, n, now)
      say_grant(granted, never, retry_after)
      return not granted, n
    elseif command == 'lease' then
      local n = clamp(num(), 1, max(algorithm.available(s, o), 1))
      local granted, never, retry_after = algorithm.take(s, o, n, now)
      say_grant(granted, never, retry_after)
      say(granted and n or 0)
      say(granted and algorithm.lease_end(o, n) or 0)
      return not granted, n
    elseif command == 'give_back' then
      algorithm.give_back(s, o, num())
    elseif command == 'reserve' then
      local n, paused, max_wait = num(), num(), num()
      say_state(s)
      local granted, never, retry_after = algorithm.take(s, o, n, now + paused)
      if not granted and not never and retry_after <= max_wait - paused then
        algorithm.reserve(s, o, n, now + paused, retry_after)
        granted = true
      end
      say_grant(granted, never, retry_after + paused)
      say_state(s)
    elseif command == 'cancel' then  -- undoes a reservation if nobody has changed the state since
      local ready_at, before, is_current = num(), {}, true
      for i = 2, #fields do before[i] = num() end
      for i = 2, #fields do is_current = s[fields[i]] == num() and is_current end
      is_current = is_current and now < ready_at
      if is_current then
        for i = 2, #fields do s[fields[i]] = before[i] end
      end
      say_if(is_current)
    elseif command == 'pause' then
      local from, till = num(), num()
      if till > from then algorithm.pause(s, o, from, till) end
    else  -- read
      say_state(s)
    end
  end
  return {name = name, fields = fields, patterns = {}, fresh = {}, may_go = true, options = algorithm.options,
          lasts = algorithm.lasts, undo = algorithm.give_back, run = run}
end
)lua"};

}  // namespace breakwater::redis::lua
