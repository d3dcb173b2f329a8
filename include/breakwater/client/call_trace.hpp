#pragma once

#include <breakwater/events.hpp>
#include <breakwater/http/trace_context.hpp>
#include <breakwater/random.hpp>

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>

namespace breakwater {

/// A call's place in a trace and the spans of what it sends.
///
/// A span's id follows from a random number of the call's and from what is sent, so that the copies of a hedged call
/// need not agree on one, and nothing that throws is in the way of an event.
class CallTrace {
public:
    enum class Begun : std::uint8_t { here, elsewhere };

    /// Throws `std::system_error` if there is no random device.
    CallTrace(TraceContext context, Begun begun) : context_{std::move(context)}, seed_{random_seed()}, begun_{begun} {}

    /// What is sent in a call's `attempt` after so many `resends`.
    TraceContext span(unsigned attempt, unsigned resends) const { return context_.child(id(attempt, resends)); }

    /// An event of the call.
    void tell(Event& event) const noexcept { event.trace_id = context_.trace_id(); }
    /// An event of the attempt. The span's id lies in `text`.
    void tell_span(Event& event, unsigned attempt, unsigned resends, std::array<char, 16>& text) const noexcept {
        text = detail::to_hex(id(attempt, resends));
        event.span_id = {text.data(), text.size()};
        if (begun_ == Begun::elsewhere) event.parent_span_id = context_.span_id();
        event.is_sampled = context_.sampled() == Sampled::yes;
    }

private:
    std::uint64_t id(unsigned attempt, unsigned resends) const noexcept {
        const std::uint64_t id = Random::mix(Random::mix(seed_ + attempt) + resends);
        return id != 0 ? id : 1;
    }

    TraceContext context_;
    std::uint64_t seed_;
    Begun begun_;
};

}  // namespace breakwater
