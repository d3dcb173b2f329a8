#pragma once

#include <breakwater/store/redis/lua/fragment.hpp>

namespace breakwater::redis::lua {

/// `fleet::CircuitMachine`. The hash: as `CircuitView` says; `probes` ever lent; `leases` as token:expires; `reporters`
/// as instance:at, of which the latest comes last, and `outcomes` reported, both since the circuit was last changed.
/// Time is `inf` where a force has no end.
inline constexpr Fragment circuit{20, R"lua(
machines.circuit = function()
  local machine = {
    name = 'circuit',
    fields = {'v', 'phase', 'generation', 'changed', 'open_until', 'forced', 'forced_until', 'forced_for', 'openings',
              'ramping', 'successes', 'probes', 'late_results', 'outcomes', 'leases', 'reporters', 'streak', 'calls',
              'failures', 'slow', 'slices_end', 'slices'},
    patterns = {phase = '^[a-z_]+$', leases = '^[%d: ]*$', reporters = '^[%d: ]*$', slices = '^[%d:/ ]*$'},
    fresh = {phase = 'closed', generation = 1, leases = '', reporters = '', slices = ''},
    endless = {open_until = true, forced_until = true, forced_for = true},
    stays = true,
  }
  local phases = {closed = 0, open = 1, half_open = 2}
  local phase_names = {[0] = 'closed', 'open', 'half_open'}

  function machine.options()
    local o = {timeout = num(), longest = num(), multiplier = num(), jitter = num(), heeds = num(), probes = num(),
               threshold = num(), lease = num(), ramp = num()}
    o.rule = rules[arg()](o)
    return o
  end
  -- At least an hour, and as long as anything that is remembered counts.
  function machine.lasts(s, o)
    if s.forced == 1 and s.forced_until == huge then return 366 * 86400000000 end
    local left = max(10 * max(o.longest, o.lease), 3600000000, o.ramp, o.window or 0)
    if s.forced == 1 then left = max(left, s.forced_until - now) end
    return left + tolerance
  end
  -- The window of a count, which only reports read.
  function machine.extra(cell, words, n)
    if cell.window and cell.window ~= cell.window_was then
      words[n + 1], words[n + 2] = 'window', cell.window
      return true
    end
    if cell.is_new then words[n + 1], words[n + 2] = 'window', '' end
  end

  local function leases_of(s)
    local leases = {}
    for token, expires in string.gmatch(s.leases, '(%d+):(%d+)') do
      token = tonumber(token)
      leases[fmod(token, 32)] = {token, tonumber(expires)}
    end
    return leases
  end
  local function keep_leases(s, leases)
    local words = {}
    for slot = 0, 31 do
      local lease = leases[slot]
      if lease then words[#words + 1] = digits(lease[1]) .. ':' .. digits(lease[2]) end
    end
    s.leases = table.concat(words, ' ')
  end
  local function view(s, o)
    local in_flight = 0
    if s.leases ~= '' then
      for _, lease in pairs(leases_of(s)) do
        if now < lease[2] then in_flight = in_flight + 1 end
      end
    end
    local calls, failures, slow = o.rule.counts(s)
    return {phases[s.phase] or 1, s.generation, s.changed, s.open_until, s.forced, s.forced_until, s.forced_for,
            s.openings, s.ramping, s.successes, in_flight, s.late_results, calls, failures, slow}
  end
  local function say_view(s, o)
    local numbers = view(s, o)
    for i = 1, #numbers do say(numbers[i]) end
  end
  function machine.news(s, was, o)
    if s.phase ~= was.phase or s.generation ~= was.generation or s.forced ~= was.forced or
       (s.streak == 0) ~= (was.streak == 0) then
      return view(s, o)
    end
  end

  local function end_force(s)
    if s.forced == 0 or s.forced_until == huge then return end
    s.forced_until = not_beyond(s.forced_for, s.forced_until, now)
    if now < s.forced_until then return end
    s.forced = 0
    if s.phase == 'open' then s.open_until = now end
  end
  -- What time has ended: a force, a ramp.
  local function settle(s, o)
    end_force(s)
    if s.ramping == 1 and (o.ramp <= 0 or s.changed + o.ramp <= now) then s.ramping, s.openings = 0, 0 end
  end
  local function enter(s, phase)
    s.generation = max(s.generation + 1, now)
    s.phase, s.changed, s.successes, s.leases, s.forced, s.ramping = phase, now, 0, '', 0, 0
  end

  -- How long a circuit stays open. The same operations on doubles, in the same order, as RecoveryTime::after.
  local function recovery(o, openings, retry_after, random)
    if o.heeds == 1 and retry_after >= 0 then return clamp(retry_after, 1, o.longest) end
    local plenty, power, factor = 1e18, 1, max(o.multiplier, 1)
    local exponent = min(openings + 1, 1000000) - 1
    while exponent > 0 do
      factor = min(factor, plenty)
      if fmod(exponent, 2) == 1 then power = min(power * factor, plenty) end
      factor = factor * factor
      exponent = floor(exponent / 2)
    end
    local grown = power * o.timeout
    local whole = grown >= o.longest and o.longest or floor(grown)
    if o.jitter == 0 then return whole end
    local spread = floor(whole * o.jitter)
    return clamp(whole - spread + floor(random * (2 * spread + 1)), 1, o.longest)
  end
  local function open(s, o, retry_after, random, cell)
    enter(s, 'open')
    local open_for = recovery(o, s.openings, retry_after, random)
    s.openings = min(s.openings + 1, 4294967295)
    s.open_until = now + open_for
    o.rule.clear(s, cell)
    return open_for
  end

  -- Which processes see the service fail: the latest 16.
  local function note(s, o, report)
    s.outcomes = s.outcomes + report.successes + report.failures
    local failures = report.failures
    if o.rule.is_streak and report.successes > 0 then s.reporters, failures = '', report.tail end
    if failures == 0 and report.slow == 0 and report.overdue == 0 then return end
    local entries = {}
    for instance, noted in string.gmatch(s.reporters, '(%d+):(%d+)') do
      if instance ~= report.instance then entries[#entries + 1] = instance .. ':' .. noted end
    end
    if #entries == 16 then table.remove(entries, 1) end
    entries[#entries + 1] = report.instance .. ':' .. digits(o.rule.reports and s.outcomes or now)
    s.reporters = table.concat(entries, ' ')
  end
  local function reporters(s, o)
    local by, span = o.rule.reports and s.outcomes or now, o.rule.reports or o.rule.span or huge
    local counted = 0
    for noted in string.gmatch(s.reporters, ':(%d+)') do
      if by - tonumber(noted) < span then counted = counted + 1 end
    end
    return counted
  end

  local counted, late, opened, opened_again, closed, isolated = 0, 1, 2, 3, 4, 5
  local function say_effect(effect, open_for, s, o)
    say(effect)
    say(open_for)
    say_view(s, o)
  end
  local function tally()
    return {successes = num(), failures = num(), slow = num(), tail = num()}
  end
  local function lease_in(s, generation, token)  -- if it is one and still lent
    if token == 0 or s.generation ~= generation or s.leases == '' then return nil end
    local leases = leases_of(s)
    local lease = leases[fmod(token, 32)]
    if lease and lease[1] == token and now < lease[2] then return leases, lease end
  end
  local function release(s, generation, token)
    local leases = lease_in(s, generation, token)
    if not leases then return end
    leases[fmod(token, 32)] = nil
    keep_leases(s, leases)
  end

  local function say_admission(s, o, admitted, began, token, retry_after)
    say_if(admitted)
    say_if(began)
    say(admitted and s.generation or 0)
    say(token)
    say(retry_after)
    say_view(s, o)
    return not admitted, s.generation, token
  end
  local function admit(s, o)
    settle(s, o)
    if s.phase == 'closed' then return say_admission(s, o, true, false, 0, 0) end
    local began = false
    if s.phase == 'open' then
      if s.forced == 1 then
        local left = s.forced_until == huge and huge or clamp(s.forced_until - now, 0, s.forced_for)
        return say_admission(s, o, false, false, 0, left)
      end
      s.open_until = not_beyond(o.longest, s.open_until, now)
      if now < s.open_until then
        return say_admission(s, o, false, false, 0, min(s.open_until - now, o.longest))
      end
      enter(s, 'half_open')
      began = true
    end
    local leases, earliest = leases_of(s), huge
    for slot = 0, o.probes - 1 do
      local lease = leases[slot]
      if lease then lease[2] = not_beyond(o.lease, lease[2], now) end
      if not lease or now >= lease[2] then
        s.probes = s.probes + 1
        local token = s.probes * 32 + slot
        leases[slot] = {token, now + o.lease}
        keep_leases(s, leases)
        return say_admission(s, o, true, began, token, 0)
      end
      earliest = min(earliest, lease[2])
    end
    keep_leases(s, leases)
    return say_admission(s, o, false, began, 0, min(earliest - now, o.lease))
  end
  local function report(s, o, cell)
    local instance, generation, told = arg(), num(), tally()
    told.instance, told.overdue = instance, num()
    local min_reporters, random, retry_after = num(), num(), num()
    settle(s, o)
    if s.phase ~= 'closed' or s.generation ~= generation then
      s.late_results = s.late_results + 1
      return say_effect(late, 0, s, o)
    end
    if s.forced == 1 then return say_effect(counted, 0, s, o) end
    note(s, o, told)
    if not o.rule.record(s, told, cell, now) then return say_effect(counted, 0, s, o) end
    if reporters(s, o) < min_reporters then return say_effect(isolated, 0, s, o) end
    local open_for = open(s, o, retry_after, random, cell)
    s.reporters, s.outcomes = '', 0
    say_effect(opened, open_for, s, o)
  end
  local function judge(s, o, cell)
    local generation, token, verdict, random, retry_after = num(), num(), tally(), num(), num()
    local leases, lease
    if s.phase == 'half_open' then leases, lease = lease_in(s, generation, token) end
    if not lease then
      s.late_results = s.late_results + 1
      return say_effect(late, 0, s, o)
    end
    local took = now - (lease[2] - o.lease)
    leases[fmod(token, 32)] = nil
    keep_leases(s, leases)
    if verdict.failures > 0 or (o.slow_after and o.slow_after >= 0 and took > o.slow_after) then
      return say_effect(opened_again, open(s, o, retry_after, random, cell), s, o)
    end
    s.successes = s.successes + verdict.successes
    if s.successes < o.threshold then return say_effect(counted, 0, s, o) end
    enter(s, 'closed')
    if o.ramp > 0 then s.ramping = 1 else s.openings = 0 end
    say_effect(closed, 0, s, o)
  end

  -- Into another phase by hand, with nothing counted.
  local function put(s, o, phase, cell)
    o.rule.clear(s, cell)
    enter(s, phase)
    s.reporters, s.outcomes = '', 0
  end
  function machine.undo(s, o, generation, token) release(s, generation, token) end

  function machine.run(command, s, o, cell)
    if command == 'admit' then return admit(s, o) end
    if command == 'report' then return report(s, o, cell) end
    if command == 'judge' then return judge(s, o, cell) end
    if command == 'release' then
      release(s, num(), num())
    elseif command == 'force' or command == 'restore_forced' then
      local phase, span = phase_names[num()], time_arg()
      put(s, o, phase, cell)
      s.forced, s.forced_for, s.forced_until = 1, span, now + span
      s.open_until = s.forced_until
      if command == 'restore_forced' then s.openings = num() end
    elseif command == 'reset' then
      put(s, o, 'closed', cell)
      s.openings = 0
    elseif command == 'restore_closed' then
      local saved, age, openings = tally(), num(), num()
      saved.overdue = 0
      put(s, o, 'closed', cell)
      o.rule.record(s, saved, cell, max(now - age, 0))
      s.openings = openings
    elseif command == 'restore_open' then
      local open_for, openings = num(), num()
      put(s, o, 'open', cell)
      s.open_until = now + clamp(open_for, 0, o.longest)
      s.openings = openings
    elseif command == 'trim' then
      if s.forced == 0 then s.open_until = min(s.open_until, now + o.longest) end
    elseif command == 'seed' then
      local phase, generation, open_until = phase_names[num()], num(), time_arg()
      local forced, forced_until, forced_for, openings = num(), time_arg(), time_arg(), num()
      if generation > s.generation then
        put(s, o, phase == 'closed' and 'closed' or 'open', cell)
        s.generation = generation + 1
        s.forced, s.forced_until, s.forced_for = forced, forced_until, forced_for
        s.open_until = phase == 'half_open' and now or open_until
        s.openings = openings
      end
    end  -- else read
    say_view(s, o)
  end
  return machine
end
)lua"};

}  // namespace breakwater::redis::lua
