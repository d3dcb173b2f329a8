#pragma once

#include <breakwater/store/redis/lua/fragment.hpp>

namespace breakwater::redis::lua {

/// `TokenBucket`. The hash: the instant at which the bucket is full again, as `full_at` (µs) and `remainder` ticks of
/// 1/p µs, fewer than p. Amounts of ticks are split likewise, as p times a span would pass 2^53.
///
/// Exact while `full_at` is below 2^53: buckets that take more than 200 years to fill are rounded to 2 µs.
inline constexpr Fragment token_bucket{20, R"lua(
machines.token_bucket = function()
  local bucket = {}

  function bucket.options() return {p = num(), q = num(), burst = num(), tolerated = num()} end
  function bucket.lasts(s, o) return max(s.full_at - now, 0) + 1 + o.tolerated end

  local function split(ticks, o)
    local rest = fmod(ticks, o.p)
    return (ticks - rest) / o.p, rest
  end
  local function debt(s, from)
    if s.full_at < from then return 0, 0 end
    return s.full_at - from, s.remainder
  end
  local function set(s, o, from, us, ticks)
    if ticks >= o.p then us, ticks = us + 1, ticks - o.p end
    s.full_at, s.remainder = from + us, ticks
  end
  local function is_ours(us, ticks, full_us, full_ticks, o)
    return us < full_us + o.tolerated or (us == full_us + o.tolerated and ticks <= full_ticks)
  end

  function bucket.take(s, o, n, from)
    if n < 0 or n > o.burst then return false, true, 0 end
    local us, ticks = debt(s, from)
    local room_us, room_ticks = split((o.burst - n) * o.q, o)
    if us < room_us or (us == room_us and ticks <= room_ticks) then
      local cost_us, cost_ticks = split(n * o.q, o)
      set(s, o, from, us + cost_us, ticks + cost_ticks)
      return true, false, 0
    end
    local full_us, full_ticks = split(o.burst * o.q, o)
    if not is_ours(us, ticks, full_us, full_ticks, o) then
      us, ticks = full_us, full_ticks
      set(s, o, from, us, ticks)
    end
    return false, false, us - room_us + (ticks > room_ticks and 1 or 0)
  end
  function bucket.reserve(s, o, n, from, retry_after)
    local later = from + retry_after
    local us, ticks = debt(s, later)
    local cost_us, cost_ticks = split(n * o.q, o)
    set(s, o, later, us + cost_us, ticks + cost_ticks)
  end
  function bucket.give_back(s, o, n)
    local us, ticks = debt(s, now)
    if n <= 0 or (us == 0 and ticks == 0) then return end
    local back_us, back_ticks = split(min(n, o.burst) * o.q, o)
    us, ticks = us - back_us, ticks - back_ticks
    if ticks < 0 then us, ticks = us - 1, ticks + o.p end
    if us < 0 then us, ticks = 0, 0 end
    set(s, o, now, us, ticks)
  end
  function bucket.pause(s, o, from, till)
    local us, ticks = debt(s, from)
    local full_us, full_ticks = split(o.burst * o.q, o)
    if not is_ours(us, ticks, full_us, full_ticks, o) then us, ticks = full_us, full_ticks end
    set(s, o, till, us, ticks)
  end
  function bucket.available(s, o)
    local us, ticks = debt(s, now)
    local full_us, full_ticks = split(o.burst * o.q, o)
    if us > full_us or (us == full_us and ticks >= full_ticks) then return 0 end
    return div((full_us - us) * o.p + full_ticks - ticks, o.q)
  end
  function bucket.lease_end(o, n)
    local us, ticks = split(n * o.q, o)
    return now + clamp(us + (ticks > 0 and 1 or 0), 1000, 1000000)
  end
  return limiter('token_bucket', {'v', 'full_at', 'remainder'}, bucket)
end
)lua"};

}  // namespace breakwater::redis::lua
