#pragma once

#include <breakwater/store/redis/lua/fragment.hpp>

namespace breakwater::redis::lua {

/// Takes the steps in order as one: the first refusal undoes the earlier ones, and the steps after it are not taken.
/// Nothing is written before all of them could be read. A command answers by `say`, and returns whether it refuses and
/// what undoes it.
inline constexpr Fragment dispatcher{100, R"lua(
local undo = {}
for i = 1, #KEYS do
  local machine, command = machines[ARGV[at]], ARGV[at + 1]
  local after = at + 3 + tonumber(ARGV[at + 2])
  at = at + 3
  local cell, fault = load(KEYS[i], machine)
  if not cell then return redis.error_reply(fault) end
  cell.options = machine.options()
  local refused, undone = machine[command](cell.state, cell.options, cell)
  at = after
  if cell.fault then return redis.error_reply(cell.fault) end
  if refused then
    for k = 1, #undo do undo[k]() end
    break
  end
  if undone then undo[#undo + 1] = undone end
end
for i = 1, cell_count do save(cells[i]) end
return answer
)lua"};

}  // namespace breakwater::redis::lua
