#pragma once

#include <breakwater/store/redis/lua/fragment.hpp>

namespace breakwater::redis::lua {

/// `NoLimit`: there is no state.
inline constexpr Fragment no_limit{20, R"lua(
machines.no_limit = function()
  return limiter('no_limit', {'v'}, {
    options = function() return {} end,
    lasts = function() return 0 end,
    take = function() return true, false, 0 end,
    give_back = function() end,
    pause = function() end,
    available = function() return huge end,
    lease_end = function() return now + 1000000 end,
  })
end
)lua"};

}  // namespace breakwater::redis::lua
