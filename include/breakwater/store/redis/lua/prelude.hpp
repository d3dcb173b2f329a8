#pragma once

#include <breakwater/store/redis/lua/fragment.hpp>

namespace breakwater::redis::lua {

/// Whose clock: the server's own.
inline constexpr Fragment server_time{0, R"lua(
local at = 2
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
)lua"};

/// For tests only: the clock is what the caller says.
inline constexpr Fragment given_time{0, R"lua(
local at = 3
local now = tonumber(ARGV[2])
)lua"};

/// What all machines use: `arg` and `num` read the arguments, `say` answers, `load` and `save` keep a key's state.
///
/// To make a function costs as much as a whole command, and nothing survives from one call of a script to the next. So
/// a machine is built only if a step asks for it (`machines` has what builds it), and decides all its commands in one
/// function, `run`.
inline constexpr Fragment prelude{1, R"lua(
local fmod, floor, huge, min, max, format = math.fmod, math.floor, math.huge, math.min, math.max, string.format
local tolerance = 60000000  -- how far a clock may step back, in microseconds
local machines, built, answer, said = {}, {}, {now}, 1

local function arg()
  at = at + 1
  return ARGV[at - 1]
end
local function num()
  at = at + 1
  return tonumber(ARGV[at - 1])
end
local function time_arg()  -- an instant or a span; negative: for ever
  local time = num()
  return time < 0 and huge or time
end
local function say(number)
  said = said + 1
  answer[said] = number == huge and -1 or number
end
local function say_if(condition)
  say(condition and 1 or 0)
end
local function digits(number)
  return number == huge and 'inf' or format('%.0f', number)
end
local function div(a, b)  -- of what is not negative
  return (a - fmod(a, b)) / b
end
local function clamp(number, low, high)
  return max(low, min(number, high))
end
local function not_beyond(span, ends, from)
  if ends > from + span + tolerance then return from + span end
  return ends
end

local cells, cell_count = {}, 0

-- A machine's fields: 'v', its numbers (only those in `endless` may be 'inf'), and its texts, each with the pattern it
-- must have. Returns the state of a key, or nothing and why.
local function load(key, machine)
  local cell = cells[key]
  if cell then return cell end
  local fields, patterns = machine.fields, machine.patterns
  local found = redis.pcall('HMGET', key, unpack(fields))
  if found.err then
    return nil, string.find(found.err, 'WRONGTYPE') and 'BREAKWATER unreadable ' .. key .. ': not a hash' or found.err
  end
  local state, was, is_new = {}, {}, not found[1]
  for i = 2, #fields do
    local field, value = fields[i], found[i]
    if is_new then
      if value then return nil, 'BREAKWATER unreadable ' .. key .. ': no version' end
      value = machine.fresh[field] or 0
    elseif patterns[field] then
      if not value or not string.find(value, patterns[field]) then
        return nil, 'BREAKWATER unreadable ' .. key .. ': ' .. field
      end
    else
      value = tonumber(value or nil)
      local most = machine.endless and machine.endless[field] and huge or 18014398509481984
      if not value or value < 0 or value ~= floor(value) or value > most then
        return nil, 'BREAKWATER unreadable ' .. key .. ': ' .. field
      end
    end
    state[field], was[field] = value, value
  end
  if not is_new and found[1] ~= '1' then return nil, 'BREAKWATER unreadable ' .. key .. ': version ' .. found[1] end
  cell = {key = key, machine = machine, state = state, was = was, is_new = is_new}
  cell_count = cell_count + 1
  cells[cell_count], cells[key] = cell, cell
  return cell
end

local function save(cell)
  local machine, state, was = cell.machine, cell.state, cell.was
  local fields, words, n = machine.fields, {'v', '1'}, 2
  local is_changed, is_blank = false, machine.may_go
  for i = 2, #fields do
    local field = fields[i]
    local value = state[field]
    if value ~= was[field] then is_changed = true end
    if value ~= 0 then is_blank = false end
    if cell.is_new or value ~= was[field] then
      words[n + 1], words[n + 2] = field, type(value) == 'number' and digits(value) or value
      n = n + 2
    end
  end
  local extra = machine.extra and machine.extra(cell, words, n)
  if is_changed or extra then
    if is_blank then
      redis.call('DEL', cell.key)
      return
    end
    redis.call('HSET', cell.key, unpack(words))
    cell.is_new = false
  end
  if is_changed or extra or (machine.stays and not cell.is_new) then  -- what is read only may be a replica's
    redis.pcall('PEXPIRE', cell.key, digits(floor(machine.lasts(state, cell.options) / 1000) + 1))
  end
  if is_changed and machine.news then
    local news = machine.news(state, was, cell.options)
    if news and ARGV[1] ~= '' then
      for i = 1, #news do news[i] = format('%.0f', news[i] == huge and -1 or news[i]) end
      -- A user without a right to the channel loses the news, not the call.
      redis.pcall('PUBLISH', ARGV[1], cell.key .. ' ' .. machine.name .. ' ' .. table.concat(news, ' '))
    end
  end
end
)lua"};

}  // namespace breakwater::redis::lua
