// traceparent and tracestate: what is accepted is fit to be sent and reads back as itself, and one never spoils the
// other.
#include "input.hpp"

#include <breakwater/http/request.hpp>
#include <breakwater/http/trace_context.hpp>

#include <cstdint>
#include <string_view>

namespace bw = breakwater;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::Input input{data, size};
    const std::string_view traceparent = input.take_line(), tracestate = input.rest();

    const auto trace = bw::TraceContext::parse(traceparent, tracestate);
    const auto alone = bw::TraceContext::parse(traceparent);
    fuzz::require(trace.has_value() == alone.has_value(), "a tracestate never spoils a traceparent");
    if (!trace) {
        fuzz::require(
            trace.error().code() == bw::Errc::invalid_request && trace.error().detail().starts_with("traceparent: "),
            "a mistake is named");
        return 0;
    }
    fuzz::require(trace->traceparent() == alone->traceparent(), "a tracestate never changes a traceparent");
    fuzz::require(trace->traceparent().size() == 55 && trace->traceparent().starts_with("00-"), "version 00 is sent");
    fuzz::require(trace->traceparent()[53] == '0' && trace->traceparent()[54] <= '3', "only known flags are sent");
    fuzz::require(trace->trace_id().find_first_not_of("0") != std::string_view::npos, "a trace has an id");
    fuzz::require(trace->span_id().find_first_not_of("0") != std::string_view::npos, "a span has an id");
    fuzz::require(trace->tracestate().size() <= 512, "a tracestate has its bound");
    fuzz::require(bw::TraceContext::parse(trace->traceparent(), trace->tracestate()) == *trace,
                  "what is sent reads back as itself");

    bw::Request request{.url = "http://localhost/"};
    trace->set_in(request.headers);
    fuzz::require(bw::validate(request).has_value(), "what is sent is fit to be sent");
    const bw::TraceContext child = trace->child(1);
    fuzz::require(child.trace_id() == trace->trace_id() && child.tracestate() == trace->tracestate() &&
                      child.sampled() == trace->sampled() && child.span_id() == "0000000000000001",
                  "a child is of the same trace");
    return 0;
}
