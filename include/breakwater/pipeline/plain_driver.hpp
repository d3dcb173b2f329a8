#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/pipeline/blocking_driver.hpp>
#include <breakwater/pipeline/call.hpp>
#include <breakwater/pipeline/callable.hpp>
#include <breakwater/pipeline/policy.hpp>
#include <breakwater/pipeline/reports.hpp>
#include <breakwater/result.hpp>

#include <cstddef>
#include <expected>
#include <tuple>
#include <utility>

namespace breakwater {

/// Runs a plain call on the calling thread, through policies all of which may let it through at a glance. The way of
/// one that succeeds at once is straight: without lanes, and with what the policies note of it in registers. Wherever
/// there is more to do, the blocking driver goes on.
template <Clock C, class T, class F, class... P>
class PlainDriver {
public:
    [[gnu::always_inline]] static Result<T> run(const std::tuple<P...>& policies, const C& clock, F& function) {
        PlainCall<C> call{clock};
        Noted noted;
        const std::size_t inside = enter(policies, call, noted, every);
        if (inside < sizeof...(P)) [[unlikely]]
            return go_on<0>(policies, call, function, noted, inside);
        return attempt(policies, call, function, noted);
    }

private:
    using Noted = std::tuple<typename P::Glimpse...>;
    static constexpr auto every = std::index_sequence_for<P...>{};

    /// How many policies let the call through: the first ones.
    template <std::size_t... I>
    [[gnu::always_inline]] static std::size_t enter(const std::tuple<P...>& policies, PlainCall<C>& call, Noted& noted,
                                                    std::index_sequence<I...>) {
        std::size_t inside = 0;
        (void)((std::get<I>(policies).glance(std::get<I>(noted), call) && (++inside, true)) && ...);
        return inside;
    }
    [[gnu::always_inline]] static Result<T> attempt(const std::tuple<P...>& policies, PlainCall<C>& call, F& function,
                                                    Noted& noted) {
        call.begin_attempt();
        Result<T> result = detail::result_of<T>(function, call);  // made in place
        const std::size_t inside = result ? leave(policies, noted, result, every) : sizeof...(P);
        if (inside > 0) [[unlikely]]
            come_back(policies, call, function, noted, inside, 1, result);
        return result;
    }
    /// How many policies are not done with a call that has succeeded: the first ones.
    template <std::size_t... I>
    [[gnu::always_inline]] static std::size_t leave(const std::tuple<P...>& policies, Noted& noted,
                                                    const Result<T>& result, std::index_sequence<I...>) {
        std::size_t inside = sizeof...(P);
        (void)((is_done<sizeof...(P) - 1 - I>(policies, noted, result) && (--inside, true)) && ...);
        return inside;
    }
    template <std::size_t I>
    [[gnu::always_inline]] static bool is_done(const std::tuple<P...>& policies, Noted& noted,
                                               const Result<T>& result) {
        const auto& policy = std::get<I>(policies);
        auto& own = std::get<I>(noted);
        if (policy.glance_back(own, result)) [[likely]]
            return true;
        if constexpr (requires { policy.finish(own, result); })
            return policy.finish(own, result);
        else
            return false;
    }

    // Out of line, and told by value: then no address of what is noted is known outside the straight way.

    using Driver = BlockingDriver<Call<C>, T, F, P...>;

    /// From policy `inside` on, of which this looks at those from `I`.
    template <std::size_t I>
    [[gnu::noinline]] static Result<T> go_on(const std::tuple<P...>& policies, PlainCall<C> plain, F& function,
                                             Noted noted, std::size_t inside) {
        if constexpr (I + 1 < sizeof...(P)) {
            if (inside > I) return go_on<I + 1>(policies, std::move(plain), function, noted, inside);
        }
        if constexpr (requires { std::get<I>(policies).refuses(plain); }) {
            const Before before = std::get<I>(policies).refuses(plain);
            if (before.kind == Before::Kind::reject) [[likely]]
                return refused_by<I>(policies, std::move(plain), function, noted, before);
        }
        return ask<I>(policies, std::move(plain), function, noted);
    }
    template <std::size_t I>
    [[gnu::always_inline]] static Result<T> refused_by(const std::tuple<P...>& policies, PlainCall<C>&& plain,
                                                       F& function, const Noted& noted, const Before& before) {
        Result<T> result{std::unexpect, InPlace{[&] { return std::get<I>(policies).refusal(before); }}};
        if constexpr (I > 0) come_back(policies, std::move(plain), function, noted, I, 0, result);
        return result;
    }
    template <std::size_t I>
    [[gnu::noinline]] static Result<T> ask(const std::tuple<P...>& policies, PlainCall<C>&& plain, F& function,
                                           const Noted& noted) {
        Call<C> call{std::move(plain)};
        Result<T> result = Driver{policies, call, function}.template go_on<I>(noted);
        detail::report_call_end(call, result);
        return result;
    }

    /// Stands for the error that `make()` gives, so that it is made where it is kept.
    template <class Make>
    struct InPlace {
        Make make;
        operator Error() && { return make(); }
    };
    template <class Make>
    InPlace(Make) -> InPlace<Make>;

    /// Out through the first `inside` policies, after so many attempts.
    [[gnu::noinline]] static void come_back(const std::tuple<P...>& policies, PlainCall<C> plain, F& function,
                                            Noted noted, std::size_t inside, unsigned attempts, Result<T>& result) {
        Call<C> call{std::move(plain)};
        call.attempt = attempts;
        if (attempts > 0) {
            call.attempt_began = call.now.if_read();
            call.now.forget();
        }
        come_back_from<sizeof...(P)>(Driver{policies, call, function}, noted, inside, result);
    }
    template <std::size_t I>
    static void come_back_from(Driver driver, const Noted& noted, std::size_t inside, Result<T>& result) {
        if constexpr (I > 0) {
            if (inside < I) return come_back_from<I - 1>(driver, noted, inside, result);
            result = driver.template come_back<I>(noted, std::move(result));
        }
    }
};

}  // namespace breakwater
