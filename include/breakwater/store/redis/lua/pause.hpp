#pragma once

#include <breakwater/store/redis/lua/fragment.hpp>

namespace breakwater::redis::lua {

/// `PauseMachine`. The hash: `ends` (µs) of a pause or a quota; `quota` is 0 for a pause, else 1 + the permits left.
inline constexpr Fragment pause{10, R"lua(
machines.pause = function()
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

  function machine.run(command, s, o)
    if command == 'check' or command == 'spend' then
      local permits = num()
      local ends, left = end_of(s, o), 0
      if ends > now and (s.quota == 0 or permits >= s.quota) then left = ends - now end
      if command == 'spend' and left == 0 and ends > now and permits > 0 then s.quota = s.quota - permits end
      say(left)
      return left > 0
    elseif command == 'extend' then
      local before = s.quota == 0 and end_of(s, o) or 0
      local from = max(before, now)
      local ends = max(from, min(num(), now + o.max_pause))
      if ends > now then s.ends, s.quota = ends, 0 end
      say(from)
      say(ends)
    elseif command == 'limit' then
      local permits, asked = num(), num()
      local is_told = end_of(s, o) > now
      local ends = min(asked, now + o.max_pause)
      local changes = ends > now and not (is_told and s.quota <= permits + 1)
      if changes then s.ends, s.quota = ends, permits + 1 end
      say_if(changes)
    else  -- read
      say(s.ends)
      say(s.quota)
    end
  end
  return machine
end
)lua"};

}  // namespace breakwater::redis::lua
