#pragma once

#include <breakwater/client/call_trace.hpp>
#include <breakwater/client/download.hpp>
#include <breakwater/client/request_options.hpp>
#include <breakwater/events.hpp>
#include <breakwater/http/detail/characters.hpp>
#include <breakwater/http/redact.hpp>
#include <breakwater/http/request.hpp>
#include <breakwater/http/response.hpp>
#include <breakwater/pipeline/call.hpp>
#include <breakwater/timeline.hpp>

#include <array>
#include <memory>
#include <string>
#include <string_view>

namespace breakwater {

/// One call of a client: what its policies know beyond what any `Call` does.
template <Clock C>
class HttpCall : public Call<C> {
public:
    /// Both belong to whoever makes the call.
    HttpCall(const C& clock, const Request& req, const RequestOptions& opts)
        : Call<C>{clock}, request{req}, options{opts} {
        this->began = this->now();
    }

    const Request& request;
    const RequestOptions& options;
    Timeline timeline{};
    Download* download = nullptr;             ///< Where a good answer's body goes, if not into the response.
    std::shared_ptr<const Response> stale{};  ///< An answer past its lifetime that may stand in for an error.
    const CallTrace* trace = nullptr;         ///< Null: none. Belongs to whoever makes the call.
    /// Of the request sent last, if that is not `request` and somebody watches; else null.
    std::shared_ptr<const std::string> url{};
    const Redaction* redaction = nullptr;  ///< Null: nothing is secret.
    unsigned resends = 0;                  ///< Requests beyond the first of each attempt.
    bool is_cached = false;                ///< The cache may answer it.

    /// For rules. Events show it without secrets, as `facts` has it.
    std::string_view tag() const noexcept { return options.tag; }

    /// As any call does, but also tells of the trace, of an attempt's requests, and the status of a good answer.
    [[gnu::noinline]] void emit(Event event) noexcept {
        if (!this->is_observed()) return;
        if (trace != nullptr) trace->tell(event);
        std::array<char, 16> span;
        switch (event.kind) {
            case EventKind::attempt_started: url.reset(); break;
            case EventKind::attempt_ended:
                if (!timeline.empty()) event.status = timeline.back().status;
                break;
            case EventKind::redirected: break;
            default: return Call<C>::emit(event);
        }
        event.url = shown_url();
        event.resends = this->attempt - 1 + resends;
        if (trace != nullptr) trace->tell_span(event, this->attempt, resends, span);
        Call<C>::emit(event);
    }

    bool may_hedge() const noexcept {
        return Call<C>::may_hedge() && !request.body && download == nullptr && !options.progress;
    }
    void forget_attempts() noexcept {
        timeline.clear();
        resends = 0;
    }
    void add(const HttpCall& lane) {
        Call<C>::add(lane);
        for (const Attempt& made : lane.timeline) note(made);
        resends += lane.resends;
    }

    /// Notes an attempt. What the call waited before it belongs to the one before.
    void note(Attempt made) {
        if (!timeline.empty()) {
            Attempt& last = timeline.back();
            if (const Duration wait = made.began - (last.began + last.took); !made.hedge) last.wait = wait;
        }
        timeline.push_back(made);
    }

private:
    std::string_view shown_url() const noexcept {
        std::string_view shown = url == nullptr ? request.url : *url;
        shown = detail::without_query(shown);
        const auto host = shown.find("://");
        if (host == shown.npos || redaction == nullptr || !redaction->is_telling(shown)) return shown;
        return shown.substr(0, shown.find('/', host + 3));
    }
};

}  // namespace breakwater
