#pragma once

#include <breakwater/store/redis/lua/fragment.hpp>

namespace breakwater::redis::lua {

/// `SlidingWindow`. The hash: how many permits were `taken` in which `window` (its number, from 1970) and how many in
/// the `previous` one, and whether it is `held` by a reservation.
///
/// A count (below 2^27) times a window (below 2^45) passes 2^53, so such products are kept in two parts, of which the
/// lower is below 2^23.
inline constexpr Fragment sliding_window{20, R"lua(
machines.sliding_window = function()
  local windows = {}

  function windows.options()
    return {permits = num(), length = num(), furthest = num(), tolerated = num()}
  end
  function windows.lasts(s, o) return max((s.window + 2) * o.length - now, 0) + o.tolerated end

  local function product(count, us)
    local low = fmod(us, 8388608)
    local rest = count * low
    low = fmod(rest, 8388608)
    return count * ((us - fmod(us, 8388608)) / 8388608) + (rest - low) / 8388608, low
  end
  -- Whether a times b is at most c times d; b and d are the longer ones.
  local function at_most(a, b, c, d)
    local high, low = product(a, b)
    local most_high, most_low = product(c, d)
    return high < most_high or (high == most_high and low <= most_low)
  end
  -- count * us / by, rounded down: doubles are wrong by less than 1.
  local function share(count, us, by)
    local quotient = floor(count * us / by)
    while true do
      local q, b = quotient, by
      if q > b then q, b = b, q end
      if not at_most(q, b, count, us) then
        quotient = quotient - 1
      else
        q, b = quotient + 1, by
        if q > b then q, b = b, q end
        if not at_most(q, b, count, us) then return quotient end
        quotient = quotient + 1
      end
    end
  end

  -- The counts as of an instant.
  local function read(s, o, from)
    s = {window = s.window, previous = min(s.previous, 134217727), taken = min(s.taken, 134217727), held = s.held}
    local us = max(from, 0)
    local index = div(us, o.length)
    local offset = us - index * o.length
    local ahead = s.window - index
    if ahead == 0 then return {index = index, offset = offset, previous = s.previous, taken = s.taken, held = 0} end
    if ahead == -1 then return {index = index, offset = offset, previous = s.taken, taken = 0, held = 0} end
    if ahead < 0 then return {index = index, offset = offset, previous = 0, taken = 0, held = 0} end
    if ahead > o.furthest then
      return {index = index, offset = offset, previous = 0, taken = o.permits, held = 0, is_not_ours = true}
    end
    return {index = s.window, offset = 0, previous = s.previous, taken = s.taken, held = s.held}
  end
  local function write(s, seen) s.window, s.previous, s.taken, s.held = seen.index, seen.previous, seen.taken, seen.held end

  local function fits(seen, o, n)
    return seen.taken + n <= o.permits and
           at_most(seen.previous, o.length - seen.offset, o.permits - seen.taken - n, o.length)
  end
  local function estimate(seen, o)
    local part = share(seen.previous, o.length - seen.offset, o.length)
    if not at_most(seen.previous, o.length - seen.offset, part, o.length) then part = part + 1 end
    return seen.taken + part
  end
  -- The first instant, from `seen` on, at which n fit.
  local function place(seen, o, n)
    while not fits(seen, o, n) do
      local offset = o.length
      if seen.taken + n <= o.permits then
        offset = offset - share(o.permits - seen.taken - n, o.length, seen.previous)
      end
      if offset < o.length then
        seen.offset = offset
      else
        seen.index, seen.offset, seen.previous, seen.taken = seen.index + 1, 0, seen.taken, 0
      end
    end
    return seen
  end

  function windows.take(s, o, n, from)
    if n < 0 or n > o.permits then return false, true, 0 end
    local seen = read(s, o, from)
    if seen.held == 0 and fits(seen, o, n) then
      seen.taken = seen.taken + n
      write(s, seen)
      return true, false, 0
    end
    if seen.is_not_ours then write(s, seen) end
    place(seen, o, n)
    return false, false, seen.index * o.length + seen.offset - from
  end
  function windows.reserve(s, o, n, from)
    local seen = place(read(s, o, from), o, n)
    seen.taken, seen.held = seen.taken + n, 1
    write(s, seen)
  end
  function windows.give_back(s, o, n)
    local seen = read(s, o, now)
    if n <= 0 or seen.taken + seen.previous == 0 then return end
    if seen.held == 0 then
      local from_taken = min(seen.taken, n)
      seen.taken, n = seen.taken - from_taken, n - from_taken
    elseif seen.index ~= div(max(now, 0), o.length) + 1 then
      return
    end
    seen.previous = seen.previous - min(seen.previous, n)
    write(s, seen)
  end
  function windows.pause(s, o, from, till)
    local seen = read(s, o, from)
    local last = div(till - 1, o.length)
    if seen.index > last then return write(s, seen) end
    write(s, {index = last, previous = 0, taken = min(o.permits, estimate(seen, o)), held = 0})
  end
  function windows.available(s, o)
    local seen = read(s, o, now)
    return seen.held == 1 and 0 or o.permits - min(o.permits, estimate(seen, o))
  end
  function windows.lease_end(o) return (div(max(now, 0), o.length) + 1) * o.length end
  return limiter('sliding_window', {'v', 'window', 'previous', 'taken', 'held'}, windows)
end
)lua"};

}  // namespace breakwater::redis::lua
