#pragma once

#include <breakwater/detail/exceptions.hpp>
#include <breakwater/pipeline/policy.hpp>

#include <concepts>
#include <string_view>
#include <utility>

namespace breakwater {

/// A keyed policy that finds a call's key by a function of the call, or of its request if it has one:
/// `limiter.by([](const auto& call) { return call.subject(); })`, `breaker.by(bw::by_host())`.
///
/// The function returns something that a `string_view` can be made of. It is asked once for each passage, on the
/// caller's thread with nothing held; if it throws, the key is empty.
template <class Keyed, class F>
class By {
public:
    static constexpr Place place = Place::admission;
    using Lane = typename Keyed::Lane;

    By(Keyed keyed, F key_of) : keyed_{std::move(keyed)}, key_of_{std::move(key_of)} {}

    std::string_view name() const noexcept { return keyed_.name(); }
    const auto& options() const noexcept { return keyed_.options(); }
    const auto& clock() const noexcept { return keyed_.clock(); }
    std::string_view key(const Lane& lane) const noexcept { return keyed_.key(lane); }

    Before before(Lane& lane, auto& call) const noexcept {
        choose(lane, call);
        return keyed_.before(lane, call);
    }
    Before reask(Lane& lane, auto& call) const noexcept
        requires requires(const Keyed& keyed) { keyed.reask(lane, call); }
    {
        return keyed_.reask(lane, call);
    }
    After after(Lane& lane, auto& call, auto& result) const noexcept { return keyed_.after(lane, call, result); }
    auto async_before(Lane& lane, auto& call) const
        requires requires(const Keyed& keyed) { keyed.async_before(lane, call); }
    {
        choose(lane, call);
        return keyed_.async_before(lane, call);
    }
    auto async_reask(Lane& lane, auto& call) const
        requires requires(const Keyed& keyed) { keyed.async_reask(lane, call); }
    {
        return keyed_.async_reask(lane, call);
    }
    auto async_after(Lane& lane, auto& call, auto& result) const
        requires requires(const Keyed& keyed) { keyed.async_after(lane, call, result); }
    {
        return keyed_.async_after(lane, call, result);
    }
    Error refusal(Lane& lane, auto& call, const Before& before) const noexcept {
        return keyed_.refusal(lane, call, before);
    }

private:
    void choose(Lane& lane, auto& call) const noexcept {
        if (lane.has_key()) return;
        BREAKWATER_TRY {
            if constexpr (requires { std::string_view{key_of_(call.request)}; })
                keyed_.place_under(lane, key_of_(call.request));
            else
                keyed_.place_under(lane, key_of_(call));
        }
        BREAKWATER_CATCH_ALL { keyed_.place_under(lane, {}); }
    }

    Keyed keyed_;
    F key_of_;
};

}  // namespace breakwater
