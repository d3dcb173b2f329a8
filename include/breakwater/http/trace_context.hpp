#pragma once

#include <breakwater/detail/search.hpp>
#include <breakwater/errc.hpp>
#include <breakwater/http/detail/characters.hpp>
#include <breakwater/http/headers.hpp>
#include <breakwater/random.hpp>
#include <breakwater/result.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace breakwater {

/// Whether whoever began a trace records it.
enum class Sampled : std::uint8_t { no, yes };

namespace detail {

constexpr std::array<char, 16> to_hex(std::uint64_t number) noexcept {
    std::array<char, 16> text{};
    for (std::size_t i = text.size(); i > 0; --i, number >>= 4) text[i - 1] = "0123456789abcdef"[number & 0xf];
    return text;
}

}  // namespace detail

/// Where in a distributed trace something happens: W3C Trace Context, level 2 (https://www.w3.org/TR/trace-context-2/).
///
/// A server hands on what it was sent:
///
///     auto trace = bw::TraceContext::parse(traceparent, tracestate);
///     client.get("/inventory", {.trace = trace ? *trace : bw::TraceContext::begin(bw::Sampled::no)});
class TraceContext {
public:
    /// The two header fields of a request (several `tracestate` fields joined by commas). `Errc::invalid_request` if
    /// `traceparent` is not to be used: malformed, of version ff, or with an id of zeros only. Of a version above 00 as
    /// much is read as this one knows, and version 00 is sent on.
    ///
    /// A `tracestate` that is malformed or has more than 32 members is dropped. Of one longer than 512 characters first
    /// the members longer than 128 go, from the end, then others from the end, until it is not.
    static Result<TraceContext> parse(std::string_view traceparent, std::string_view tracestate = {});

    /// A new trace, of random ids. Throws `std::system_error` if there is no random device.
    static TraceContext begin(Sampled sampled) {
        TraceContext made;
        made.put(trace_at, random_id());
        made.put(trace_at + 16, random_id());
        made.put(span_at, random_id());
        made.text_.back() = sampled == Sampled::yes ? '3' : '2';  // with the flag that says that the id is random
        return made;
    }

    /// The same trace as sent by another span, `id` (not 0).
    TraceContext child(std::uint64_t id) const {
        TraceContext made{*this};
        made.put(span_at, id);
        return made;
    }

    /// 32 lower-case hexadecimal digits.
    std::string_view trace_id() const noexcept { return traceparent().substr(trace_at, 32); }
    /// 16 lower-case hexadecimal digits: who sends this.
    std::string_view span_id() const noexcept { return traceparent().substr(span_at, 16); }
    Sampled sampled() const noexcept { return (detail::hex_value(text_.back()) & 1) != 0 ? Sampled::yes : Sampled::no; }

    /// What is sent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".
    std::string_view traceparent() const noexcept { return {text_.data(), text_.size()}; }
    /// What is sent, if it is not empty.
    const std::string& tracestate() const noexcept { return tracestate_; }

    /// Makes these the only fields of a request's that say where it stands in a trace.
    void set_in(Headers& headers) const {
        headers.set("traceparent", std::string{traceparent()});
        headers.remove("tracestate");
        if (!tracestate_.empty()) headers.add("tracestate", tracestate_);
    }

    friend bool operator==(const TraceContext&, const TraceContext&) = default;

private:
    static constexpr std::size_t trace_at = 3;
    static constexpr std::size_t span_at = 36;
    static constexpr std::size_t flags_at = 53;

    TraceContext() noexcept { blank.copy(text_.data(), blank.size()); }

    static std::uint64_t random_id() {
        for (;;)
            if (const std::uint64_t id = random_seed(); id != 0) return id;
    }
    void put(std::size_t at, std::uint64_t id) noexcept {
        const auto digits = detail::to_hex(id);
        std::copy(digits.begin(), digits.end(), text_.data() + at);
    }
    static std::string accepted_state(std::string_view tracestate);

    static constexpr std::string_view blank = "00-00000000000000000000000000000000-0000000000000000-00";
    std::array<char, blank.size()> text_;
    std::string tracestate_;
};

namespace detail {

constexpr bool is_lower_hex(std::string_view text) noexcept {
    return all_of(text, [](char c) { return is_digit(c) || (c >= 'a' && c <= 'f'); });
}

/// A member of `tracestate`: a key of 1 to 256 of its characters, "=", and a value of 1 to 256 printable ones.
constexpr bool is_trace_member(std::string_view member) noexcept {
    const std::size_t equals = member.find('=');
    if (equals == member.npos || equals == 0 || equals > 256) return false;
    const std::string_view key = member.substr(0, equals);
    const std::string_view value = member.substr(equals + 1);
    const auto is_plain = [](char c) { return is_digit(c) || (c >= 'a' && c <= 'z'); };
    if (!is_plain(key.front()) || value.empty() || value.size() > 256) return false;
    return all_of(key, [&](char c) { return is_plain(c) || std::string_view{"_-*/@"}.contains(c); }) &&
           all_of(value, [](char c) { return c >= ' ' && c <= '~' && c != '='; });
}

}  // namespace detail

inline Result<TraceContext> TraceContext::parse(std::string_view traceparent, std::string_view tracestate) {
    const auto wrong = [](const char* what) {
        return fail(Errc::invalid_request, std::string{"traceparent: "} + what);
    };
    const std::string_view text = detail::trim(traceparent);
    const std::string_view version = text.substr(0, 2);
    const bool has_form =
        text.size() >= blank.size() && text[2] == '-' && text[trace_at + 32] == '-' && text[span_at + 16] == '-' &&
        detail::is_lower_hex(version) && detail::is_lower_hex(text.substr(trace_at, 32)) &&
        detail::is_lower_hex(text.substr(span_at, 16)) && detail::is_lower_hex(text.substr(flags_at, 2)) &&
        (text.size() == blank.size() || (version != "00" && text[blank.size()] == '-'));
    if (!has_form) return wrong("malformed");
    if (version == "ff") return wrong("of the invalid version ff");
    if (text.substr(trace_at, 32) == blank.substr(trace_at, 32)) return wrong("the trace id is zero");
    if (text.substr(span_at, 16) == blank.substr(span_at, 16)) return wrong("the parent id is zero");

    TraceContext made;
    text.copy(made.text_.data() + trace_at, 50, trace_at);
    // Sampled and random; of a later version only the first is known. Other flags have to be sent as zero.
    const int known = version == "00" ? 3 : 1;
    made.text_.back() = static_cast<char>('0' + (detail::hex_value(text[flags_at + 1]) & known));
    made.tracestate_ = accepted_state(tracestate);
    return made;
}

inline std::string TraceContext::accepted_state(std::string_view tracestate) {
    constexpr std::size_t most_members = 32;
    constexpr std::size_t longest = 512;
    constexpr std::size_t long_member = 128;
    std::vector<std::string_view> members;
    std::size_t length = 0;  // of all, each with a comma
    for (std::size_t at = 0; at <= tracestate.size();) {
        const std::size_t end = std::min(tracestate.find(',', at), tracestate.size());
        const std::string_view member = detail::trim(tracestate.substr(at, end - at));
        at = end + 1;
        if (member.empty()) continue;
        if (members.size() == most_members || !detail::is_trace_member(member)) return {};
        members.push_back(member);
        length += member.size() + 1;
    }
    for (const std::size_t above : {long_member, std::size_t{0}}) {
        for (std::size_t i = members.size(); i > 0 && length > longest + 1; --i) {
            if (members[i - 1].size() <= above) continue;
            length -= members[i - 1].size() + 1;
            members.erase(members.begin() + static_cast<std::ptrdiff_t>(i - 1));
        }
    }
    std::string accepted;
    for (const std::string_view member : members) accepted.append(accepted.empty() ? "" : ",").append(member);
    return accepted;
}

}  // namespace breakwater
