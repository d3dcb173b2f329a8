#pragma once

#include <breakwater/store/redis/lua/fragment.hpp>

namespace breakwater::redis::lua {

/// `FixedWindow`. The hash: how many permits were `taken` in which `window` (its number, from 1970), and whether it is
/// `held` by a reservation.
inline constexpr Fragment fixed_window{20, R"lua(
machines.fixed_window = function()
  local windows = {}

  function windows.options()
    return {permits = num(), length = num(), furthest = num(), tolerated = num()}
  end
  function windows.lasts(s, o) return max((s.window + 1) * o.length - now, 0) + o.tolerated end

  -- Window, permits taken in it, whether it is held, and whether the state was believed.
  local function read(s, o, from)
    local index = div(max(from, 0), o.length)
    local ahead = s.window - index
    if ahead < 0 then return index, 0, 0, true end
    if ahead > o.furthest then return index, o.permits, 0, false end
    return s.window, s.taken, ahead > 0 and s.held or 0, true
  end
  local function write(s, window, taken, held) s.window, s.taken, s.held = window, taken, held end

  function windows.take(s, o, n, from)
    if n < 0 or n > o.permits then return false, true, 0 end
    local window, taken, held, is_ours = read(s, o, from)
    local fits = taken + n <= o.permits
    if fits and held == 0 then
      write(s, window, taken + n, 0)
      return true, false, 0
    end
    if not is_ours then write(s, window, taken, held) end
    return false, false, (window + (fits and 0 or 1)) * o.length - max(from, 0)
  end
  function windows.reserve(s, o, n, from)
    local window, taken = read(s, o, from)
    if taken + n <= o.permits then
      write(s, window, taken + n, 1)
    else
      write(s, window + 1, n, 1)
    end
  end
  function windows.give_back(s, o, n)
    local window, taken, held = read(s, o, now)
    if taken > 0 and held == 0 then write(s, window, taken - min(taken, max(n, 0)), 0) end
  end
  function windows.pause(s, o, from, till)
    local window, taken, held = read(s, o, from)
    write(s, max(window, div(till - 1, o.length)), taken, held)
  end
  function windows.available(s, o)
    local _, taken, held = read(s, o, now)
    return held == 1 and 0 or o.permits - min(o.permits, taken)
  end
  function windows.lease_end(o) return (div(max(now, 0), o.length) + 1) * o.length end
  return limiter('fixed_window', {'v', 'window', 'taken', 'held'}, windows)
end
)lua"};

}  // namespace breakwater::redis::lua
