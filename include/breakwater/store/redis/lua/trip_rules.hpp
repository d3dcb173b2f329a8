#pragma once

#include <breakwater/store/redis/lua/fragment.hpp>

namespace breakwater::redis::lua {

/// The trip rules of a circuit. Each has `record(s, report, cell, from)`, which says whether the circuit trips,
/// `counts` (calls, failures, slow) and `clear`; and for `Reporters`, how many `reports` or what `span` of time a
/// report counts. The hash:
///
/// - `streak` of `ConsecutiveFailures`;
/// - the window of a `FailureRate` by count: `window`, a character for each outcome, the newest last: `s` a success,
///   `f` a failure, `S` and `F` slow ones; and their numbers in `calls`, `failures` and `slow`. (`window` may be long:
///   only a report reads it);
/// - by time: `slices_end` (µs), the end of the current slice, and `slices`, each as
///   age:calls/failures/slow/slow successes, the youngest first.
inline constexpr Fragment trip_rules{10, R"lua(
local rules = {}

function rules.never()
  return {
    record = function() return false end,
    counts = function() return 0, 0, 0 end,
    clear = function() end,
  }
end

function rules.streak(o)
  o.count = num()
  return {
    is_streak = true,
    record = function(s, tally)
      local before, added = s.streak, tally.failures
      if tally.successes > 0 then before, added = 0, tally.tail end
      s.streak = min(before + added, 2147483647)
      return tally.failures > 0 and s.streak >= o.count
    end,
    counts = function(s) return s.streak, s.streak, 0 end,
    clear = function(s) s.streak = 0 end,
  }
end

local function slow_of(tally)
  local successes = min(tally.slow, tally.successes)
  return successes, min(tally.slow - successes, tally.failures)
end
-- Whether a rate trips.
local function is_bad(o, report, calls, failures, slow, slow_successes)
  local overdue = report.overdue
  if report.failures == 0 and report.slow == 0 and (report.successes > 0 or overdue == 0) then return false end
  if calls >= o.minimum and failures / calls >= o.ratio then return true end
  calls = calls + overdue
  if o.slow_after < 0 or calls < o.minimum then return false end
  return (slow + overdue) / calls >= o.slow_ratio or
         (o.bad_ratio >= 0 and (failures + slow_successes + overdue) / calls >= o.bad_ratio)
end
local function read_rate(o)
  o.ratio, o.minimum, o.slow_after, o.slow_ratio, o.bad_ratio = num(), num(), num(), num(), num()
end

function rules.count(o)
  read_rate(o)
  local size = num()
  local function some(letter, n) return string.rep(letter, min(n, size)) end
  local function count_in(text, pattern)
    local _, n = string.gsub(text, pattern, '')
    return n
  end
  return {
    reports = size,
    record = function(s, report, cell)
      if not cell.window then
        cell.window = cell.is_new and '' or redis.call('HGET', cell.key, 'window')
        if not cell.window or string.find(cell.window, '[^sSfF]') then
          cell.fault = 'BREAKWATER unreadable ' .. cell.key .. ': window'
          return false
        end
        cell.window_was = cell.window
      end
      local told, whole = report, report.successes + report.failures
      if whole > size then  -- in proportion
        local function part(n) return div(2 * min(n, whole) * size + whole, 2 * whole) end
        local failures = part(report.failures)
        told = {successes = size - failures, failures = failures, slow = part(report.slow)}
      end
      local slow_successes, slow_failures = 0, 0
      if o.slow_after >= 0 then slow_successes, slow_failures = slow_of(told) end
      local all = cell.window .. some('s', told.successes - slow_successes) .. some('S', slow_successes) ..
                  some('f', told.failures - slow_failures) .. some('F', slow_failures)
      local window = string.sub(all, -size)
      cell.window, s.calls = window, #window
      s.failures = count_in(window, '[fF]')
      local slow_ones = 0
      s.slow = 0
      if o.slow_after >= 0 then
        s.slow, slow_ones = count_in(window, '[SF]'), count_in(window, 'S')
      end
      return is_bad(o, report, s.calls, s.failures, s.slow, slow_ones)
    end,
    counts = function(s) return s.calls, s.failures, s.slow end,
    clear = function(s, cell)
      if s.calls > 0 or cell.window then
        cell.window = ''
        cell.window_was = cell.window_was or false
      end
      s.calls, s.failures, s.slow = 0, 0, 0
    end,
  }
end

function rules.time(o)
  read_rate(o)
  local span, length, buckets = num(), num(), num()
  o.window = span + length
  -- Each slice: its age, calls, failures, slow calls, and those of them that succeeded.
  local function slices_of(s)
    local slices = {}
    for age, calls, failures, slow, slow_successes in string.gmatch(s.slices, '(%d+):(%d+)/(%d+)/(%d+)/(%d+)') do
      slices[#slices + 1] =
        {tonumber(age), tonumber(calls), tonumber(failures), tonumber(slow), tonumber(slow_successes)}
    end
    return slices
  end
  local function slices_until(s, from) return from < s.slices_end and 0 or div(from - s.slices_end, length) + 1 end
  local function sum_of(s, slices, from)
    local ages = buckets - min(slices_until(s, from), buckets)
    local calls, failures, slow, slow_successes = 0, 0, 0, 0
    for i = 1, #slices do
      local slice = slices[i]
      if slice[1] < ages then
        calls, failures, slow, slow_successes =
          calls + slice[2], failures + slice[3], slow + slice[4], slow_successes + slice[5]
      end
    end
    return calls, failures, slow, slow_successes
  end
  return {
    span = span,
    record = function(s, report, _, from)
      if s.slices_end - from > length * (buckets + 1) then  -- a clock set far back goes on from here
        s.slices_end = from - fmod(from, length) + length
      end
      local slices, steps, kept = slices_of(s), slices_until(s, from), {{0, 0, 0, 0, 0}}
      s.slices_end = s.slices_end + steps * length
      for i = 1, #slices do
        local slice = slices[i]
        slice[1] = slice[1] + steps
        if slice[1] == 0 then
          kept[1] = slice
        elseif slice[1] < buckets then
          kept[#kept + 1] = slice
        end
      end
      local current = kept[1]
      local slow_successes, slow_failures = slow_of(report)
      current[2] = current[2] + report.successes + report.failures
      current[3] = current[3] + report.failures
      current[4] = current[4] + slow_successes + slow_failures
      current[5] = current[5] + slow_successes
      local words = {}
      for i = 1, #kept do
        if kept[i][2] > 0 then words[#words + 1] = format('%.0f:%.0f/%.0f/%.0f/%.0f', unpack(kept[i])) end
      end
      s.slices = table.concat(words, ' ')
      return is_bad(o, report, sum_of(s, kept, from))
    end,
    counts = function(s)
      if s.slices == '' then return 0, 0, 0 end
      return sum_of(s, slices_of(s), now)
    end,
    clear = function(s) s.slices = '' end,
  }
end
)lua"};

}  // namespace breakwater::redis::lua
