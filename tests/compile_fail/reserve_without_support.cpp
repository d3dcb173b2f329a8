// expect: this limiter's algorithm grants nothing ahead of time
#include <breakwater/rate_limiter.hpp>

namespace bw = breakwater;

struct OncePerBoot {
    using State = bw::LimiterState;
    struct Prepared {};
    constexpr Prepared prepare(bw::Duration) const noexcept { return {}; }
    static constexpr bw::Grant take(State& s, const Prepared& p, std::int64_t n, bw::Instant now) noexcept {
        const bw::Grant grant = peek(s, p, n, now);
        return s.word |= grant.granted ? 1U : 0U, grant;
    }
    static constexpr bw::Grant peek(const State& s, const Prepared&, std::int64_t n, bw::Instant) noexcept {
        return n == 1 && s.word == 0 ? bw::Grant{.granted = true} : bw::Grant{.never = true};
    }
    static constexpr void pause(State&, const Prepared&, bw::Instant, bw::Instant) noexcept {}
    static constexpr void give_back(State& s, const Prepared&, std::int64_t, bw::Instant) noexcept { s = {}; }
    static constexpr std::int64_t available(const State& s, const Prepared&, bw::Instant) noexcept { return !s.word; }
    friend bw::Result<void> validate(const OncePerBoot&, std::string_view) { return {}; }
};

auto ahead(const bw::RateLimiter<OncePerBoot>& limiter) { return limiter.reserve(1, std::chrono::seconds{1}); }
