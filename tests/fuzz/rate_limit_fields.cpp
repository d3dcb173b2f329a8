// The headers that tell a quota: what is read lies in its bounds, plain spellings are read exactly, and no limiter that
// heeds them is ever paused for longer than it allows or made faster than it is.
#include "input.hpp"

#include <breakwater/http/rate_limit_fields.hpp>
#include <breakwater/rate_limiter/machine.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace bw = breakwater;
using namespace std::chrono_literals;

namespace {

constexpr std::chrono::sys_seconds now = std::chrono::sys_days{std::chrono::July / 1 / 2024};

bool is_small_number(std::string_view text) {
    return !text.empty() && text.size() <= 7 && text.find_first_not_of("0123456789") == text.npos;
}

void heed(const bw::ServerQuota& quota) {
    constexpr bw::PauseMachine::Options options{.max_pause = 5min};
    constexpr bw::Instant at{1h};
    bw::PauseMachine::State state;
    if (quota.remaining == 0)
        bw::PauseMachine::apply(state, options, bw::PauseMachine::Extend{at + quota.reset}, at);
    else if (quota.remaining <= bw::PauseMachine::most_left)
        bw::PauseMachine::apply(state, options, bw::PauseMachine::Limit{quota.remaining, at + quota.reset}, at);
    std::int64_t taken = 0;
    while (taken <= bw::PauseMachine::most_left &&
           bw::PauseMachine::apply(state, options, bw::PauseMachine::Spend{}, at) == 0s)
        ++taken;
    fuzz::require(taken > bw::PauseMachine::most_left || taken == quota.remaining, "exactly what is left is spent");
    const bw::Duration refused = bw::PauseMachine::apply(state, options, bw::PauseMachine::Check{}, at);
    fuzz::require(refused == (taken == quota.remaining ? std::min<bw::Duration>(quota.reset, 5min) : 0s),
                  "then it lasts until the reset or as long as is allowed");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::Input input{data, size};
    const std::string_view text = input.rest();
    bw::Headers headers = input.take_headers();

    const auto quota = bw::parse_rate_limit(headers, now);
    if (quota) {
        fuzz::require(quota->remaining >= 0, "nobody has less than nothing left");
        fuzz::require(quota->reset > 0s && quota->reset <= 366 * 24h, "a reset lies ahead, and in its bounds");
        heed(*quota);
        bw::Headers cached{{"Age", "7"}};
        for (const bw::Header& field : headers) cached.add(field.name, field.value);
        fuzz::require(!bw::parse_rate_limit(cached, now), "a cached answer says nothing");
    }
    headers.add("X-Other", "RateLimit: 1");
    fuzz::require(bw::parse_rate_limit(headers, now) == quota, "other fields play no part");

    // The whole text in the places of the plain spellings.
    const std::string value{text};
    const auto as_reset = bw::parse_rate_limit({{"RateLimit-Remaining", "3"}, {"RateLimit-Reset", value}}, now);
    const auto as_left = bw::parse_rate_limit({{"RateLimit-Remaining", value}, {"RateLimit-Reset", "9"}}, now);
    if (is_small_number(text)) {
        const std::int64_t number = std::stoll(value);
        fuzz::require(as_left == bw::ServerQuota{number, 9s}, "a number is what is left");
        if (number > 0)
            fuzz::require(as_reset == bw::ServerQuota{3, std::chrono::seconds{number}}, "a small number is seconds");
    }
    if (as_reset) fuzz::require(as_reset->reset > 0s && as_reset->reset <= 366 * 24h, "a reset lies in its bounds");
    if (as_left) fuzz::require(as_left->remaining >= 0, "what is left is no less than nothing");
    if (const auto it = bw::parse_rate_limit({{"RateLimit", value}}, now)) heed(*it);

    // A field on two lines is one list.
    const auto count = [](const std::string& field) {
        bw::detail::StructuredFieldReader reader{field};
        int members = 0;
        while (reader.take_member()) ++members;
        return reader.failed() ? -1 : members;
    };
    const int members = count(value);
    fuzz::require(members <= static_cast<int>(value.size()), "each member takes a byte at least");
    if (members > 0) fuzz::require(count(value + "," + value) == 2 * members, "twice the field is twice the members");
    return 0;
}
