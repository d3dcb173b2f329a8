#pragma once

#include <breakwater/store/redis/lua/fragment.hpp>

namespace breakwater::redis::lua {

/// `PauseMachine`. The hash: `ends` (µs) of a pause or a quota; `quota` is 0 for a pause, else 1 + the permits left.
inline constexpr Fragment pause{10, R"lua(
machines.pause = (function()
  local machine = {name = 'pause', fields = {'v', 'ends', 'quota'}, patterns = {}, fresh = {}, may_go = true}

  function machine.options() return {max_pause = num()} end
  function machine.lasts(s) return max(s.ends - now, 0) + tolerance end
  -- Of a quota that is being spent, only its end is news.
  function machine.news(s, was)
    if s.ends ~= was.ends or s.quota == 1 or (s.quota == 0) ~= (was.quota == 0) or s.quota > was.quota then
      return {s.ends, s.quota}
    end
  end

  local function end_of(s, o)
    if s.ends > now then s.ends = not_beyond(o.max_pause, s.ends, now) end
    return s.ends
  end
  local function refused(s, o, permits)
    local ends = end_of(s, o)
    if ends <= now or (s.quota ~= 0 and permits < s.quota) then return 0 end
    return ends - now
  end

  function machine.check(s, o)
    local left = refused(s, o, num())
    say(left)
    return left > 0
  end
  function machine.spend(s, o)
    local permits = num()
    local left = refused(s, o, permits)
    if left == 0 and s.ends > now and permits > 0 then s.quota = s.quota - permits end
    say(left)
    return left > 0
  end
  function machine.extend(s, o)
    local before = s.quota == 0 and end_of(s, o) or 0
    local from = max(before, now)
    local ends = max(from, min(num(), now + o.max_pause))
    if ends > now then s.ends, s.quota = ends, 0 end
    say(from)
    say(ends)
  end
  function machine.limit(s, o)
    local permits, asked = num(), num()
    local is_told = end_of(s, o) > now
    local ends = min(asked, now + o.max_pause)
    local changes = ends > now and not (is_told and s.quota <= permits + 1)
    if changes then s.ends, s.quota = ends, permits + 1 end
    say_if(changes)
  end
  function machine.read(s)
    say(s.ends)
    say(s.quota)
  end
  return machine
end)()
)lua"};

}  // namespace breakwater::redis::lua
