#pragma once

#include <breakwater/store/redis/lua/fragment.hpp>

namespace breakwater::redis::lua {

/// Takes the steps in order as one: the first refusal undoes the earlier ones, and the steps after it are not taken.
/// Nothing is written before all of them could be read. A command answers by `say`, and returns whether it refuses and
/// with what arguments `undo` undoes it.
inline constexpr Fragment dispatcher{100, R"lua(
local done = {}
for i = 1, #KEYS do
  local name, command = ARGV[at], ARGV[at + 1]
  local after = at + 3 + tonumber(ARGV[at + 2])
  at = at + 3
  local machine = built[name]
  if not machine then
    machine = machines[name]()
    built[name] = machine
  end
  local cell, fault = load(KEYS[i], machine)
  if not cell then return redis.error_reply(fault) end
  cell.options = machine.options()
  local refused, what, more = machine.run(command, cell.state, cell.options, cell)
  at = after
  if cell.fault then return redis.error_reply(cell.fault) end
  if refused then
    for k = 1, #done do
      local step = done[k]
      step[1].undo(step[2], step[3], step[4], step[5])
    end
    break
  end
  if what and i < #KEYS then done[#done + 1] = {machine, cell.state, cell.options, what, more} end
end
for i = 1, cell_count do save(cells[i]) end
return answer
)lua"};

}  // namespace breakwater::redis::lua
