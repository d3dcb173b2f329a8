#pragma once

#include <breakwater/client/download.hpp>
#include <breakwater/client/request_options.hpp>
#include <breakwater/events.hpp>
#include <breakwater/http/request.hpp>
#include <breakwater/http/response.hpp>
#include <breakwater/pipeline/call.hpp>
#include <breakwater/timeline.hpp>

#include <memory>
#include <string_view>
#include <utility>

namespace breakwater {

/// One call of a client: what its policies know beyond what any `Call` does.
template <Clock C>
class HttpCall : public Call<C> {
public:
    HttpCall(const C& clock, Request req, const RequestOptions& opts)
        : Call<C>{clock}, request{std::move(req)}, options{opts} {
        this->began = this->now();
    }

    Request request;
    const RequestOptions& options;
    Timeline timeline{};
    bool is_cached = false;                   ///< The cache may answer it.
    Download* download = nullptr;             ///< Where a good answer's body goes, if not into the response.
    std::shared_ptr<const Response> stale{};  ///< An answer past its lifetime that may stand in for an error.

    /// For rules. Events show it without secrets, as `facts` has it.
    std::string_view tag() const noexcept { return options.tag; }

    /// As any call does, but an attempt's end also tells the status of a good answer.
    void emit(Event event) noexcept {
        if (event.kind == EventKind::attempt_ended && !timeline.empty()) event.status = timeline.back().status;
        Call<C>::emit(event);
    }

    bool may_hedge() const noexcept {
        return Call<C>::may_hedge() && !request.body && download == nullptr && !options.progress;
    }
    void forget_attempts() noexcept { timeline.clear(); }
    void add(const HttpCall& lane) {
        Call<C>::add(lane);
        for (const Attempt& made : lane.timeline) note(made);
    }

    /// Notes an attempt. What the call waited before it belongs to the one before.
    void note(Attempt made) {
        if (!timeline.empty()) {
            Attempt& last = timeline.back();
            if (const Duration wait = made.began - (last.began + last.took); !made.hedge) last.wait = wait;
        }
        timeline.push_back(made);
    }
};

}  // namespace breakwater
