#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/rate_limiter/machine.hpp>
#include <breakwater/store/redis/lua/fragment.hpp>
#include <breakwater/store/redis/lua/pause.hpp>
#include <breakwater/store/redis/reply.hpp>
#include <breakwater/store/redis/wire.hpp>
#include <breakwater/store/redis/words.hpp>

#include <array>
#include <cstdint>

namespace breakwater::redis {

template <>
struct Wire<PauseMachine> {
    using M = PauseMachine;
    using Options = M::Options;

    static constexpr std::array fragments{lua::pause};

    static void encode(Words& words, const Options& options, const M::Check& check) {
        add(words, "check", options, Words{}.add(on_wire(check.permits)));
    }
    static void encode(Words& words, const Options& options, const M::Spend& spend) {
        add(words, "spend", options, Words{}.add(on_wire(spend.permits)));
    }
    static void encode(Words& words, const Options& options, const M::Extend& extend) {
        add(words, "extend", options, Words{}.add(on_wire(extend.until)));
    }
    static void encode(Words& words, const Options& options, const M::Limit& limit) {
        add(words, "limit", options, Words{}.add(on_wire(limit.permits)).add(on_wire(limit.until)));
    }
    static void encode(Words& words, const Options& options, const Read&) { add(words, "read", options, Words{}); }

    static Duration decode(Numbers& numbers, const Options&, const M::Check&) { return Duration{numbers.next()}; }
    static Duration decode(Numbers& numbers, const Options&, const M::Spend&) { return Duration{numbers.next()}; }
    static M::Extended decode(Numbers& numbers, const Options&, const M::Extend&) {
        const Instant from{Duration{numbers.next()}};
        return {from, Instant{Duration{numbers.next()}}};
    }
    static bool decode(Numbers& numbers, const Options&, const M::Limit&) { return numbers.next() != 0; }
    static M::State decode(Numbers& numbers, const Options&, const Read&) { return decode_state(numbers); }

    /// Also of a `News`.
    static M::State decode_state(Numbers& numbers) {
        const auto until = static_cast<std::uint64_t>(numbers.next());
        const auto quota = static_cast<std::uint64_t>(numbers.next());
        return {.until = until & ((std::uint64_t{1} << 53) - 1), .quota = quota & ((std::uint64_t{1} << 11) - 1)};
    }

private:
    static void add(Words& words, const char* command, const Options& options, const Words& arguments) {
        add_step(words, "pause", command, Words{}.add(on_wire(options.max_pause)).add(arguments));
    }
};

}  // namespace breakwater::redis
