#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/errc.hpp>
#include <breakwater/error.hpp>
#include <breakwater/http/method.hpp>
#include <breakwater/http/request.hpp>
#include <breakwater/http/response.hpp>
#include <breakwater/http/sink.hpp>
#include <breakwater/result.hpp>
#include <breakwater/testing/fault_injection/counts.hpp>
#include <breakwater/testing/fault_injection/options.hpp>
#include <breakwater/testing/fault_injection/plan.hpp>
#include <breakwater/transport/transport.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace breakwater::faults {

/// What one exchange meets. Says how long to wait and how to send then, and is given what has come of it, so that it is
/// the same whoever waits in between:
///
///     Injection injection{plan, counter, request, options, now};
///     if (const auto until = injection.until()) …wait
///     if (auto own = injection.instead(how_the_wait_ended, now)) return *std::move(own);
///     return injection.finish(transport.send(request, injection.how()));
///
/// Request and options stay meanwhile, and it stays where it is: `how()` refers to it.
class Injection {
public:
    Injection(std::shared_ptr<Plan<FaultOptions>> plan, Counter<FaultCounts>& counter, const Request& request,
              const SendOptions& options, Instant now)
        : plan_{std::move(plan)},
          counter_{counter},
          request_{request},
          options_{options},
          how_{options},
          began_{now},
          over_{now + std::min<Duration>(options.timeout, std::chrono::hours{24 * 365})},
          drawn_{plan_->next(now)},
          is_late_{drawn_.delay >= over_ - now},
          due_{now + drawn_.delay} {
        counter_.add(&FaultCounts::requests);
        if (drawn_.delay > Duration{0}) counter_.add(&FaultCounts::delays);
        if (then<Drop>() != nullptr) {
            counter_.add(&FaultCounts::drops);
            due_ = over_;
        } else if (is_late_) {
            return;
        } else if (const auto* error = then<Error>()) {
            if (error->code == Errc::attempt_timeout) due_ = over_;
            if (error->code == Errc::connect_timeout)
                due_ = options.connect_timeout < over_ - due_ ? due_ + options.connect_timeout : over_;
        } else if (then<Reset>() != nullptr) {
            how_.sink = &nowhere_;
            how_.head = nullptr;
            how_.max_sink_bytes.reset();
        } else if (const auto* truncate = then<Truncate>(); truncate != nullptr && options.sink != nullptr) {
            room_ = truncate->after;
            how_.sink = &part_;
        }
    }
    Injection(const Injection&) = delete;
    Injection& operator=(const Injection&) = delete;

    /// What to wait for, if anything.
    std::optional<Instant> until() const noexcept {
        return due_ > began_ ? std::optional{std::min(due_, over_)} : std::nullopt;
    }

    /// The result if nothing is to be sent.
    std::optional<Result<Response>> instead(Wait wait, Instant now) {
        if (wait == Wait::stopped) return fail(Errc::cancelled);
        if (const auto* error = then<Error>(); error != nullptr && !is_late_) {
            counter_.add(&FaultCounts::errors);
            return fail(error->code, "injected");
        }
        if (now >= over_) return fail(Errc::attempt_timeout, then<Drop>() != nullptr ? "injected drop" : delay_text());
        if (const auto* status = then<Status>()) return answer(*status);
        how_.timeout = over_ - now;
        return {};
    }

    const SendOptions& how() const noexcept { return how_; }

    /// The result after all. What goes wrong by itself is told as it is.
    Result<Response> finish(Result<Response> result) {
        if (then<Reset>() != nullptr && result) {
            counter_.add(&FaultCounts::resets);
            return fail(Errc::receive_failed, "injected reset");
        }
        if (then<Truncate>() != nullptr && (is_cut_ || (result && (has_begun_ || !result->body.empty())))) {
            counter_.add(&FaultCounts::truncations);
            return fail(Errc::truncated, "injected");
        }
        if (drawn_.delay > Duration{0} && !result && result.error().code() == Errc::attempt_timeout)
            result.error().set_detail("after an " + delay_text());
        return result;
    }

private:
    template <class Kind>
    const Kind* then() const noexcept {
        return drawn_.then != nullptr ? std::get_if<Kind>(&drawn_.then->kind()) : nullptr;
    }

    std::string delay_text() const { return "injected delay of " + format_duration(drawn_.delay); }

    Result<Response> answer(const Status& status) {
        counter_.add(&FaultCounts::statuses);
        Response answer{.status = status.status, .headers = status.headers, .url = request_.url};
        answer.headers.set("X-Injected-Fault", "status");
        if (status.retry_after) {
            const auto seconds = std::chrono::ceil<std::chrono::seconds>(*status.retry_after);
            answer.headers.set("Retry-After", std::to_string(seconds.count()));
        }
        if (request_.method != Method::head) answer.body = status.body;
        if (answer.body.size() > options_.max_response_bytes) return fail(Errc::too_large, "injected");
        return answer;
    }

    Result<void> take(std::string_view bytes) {
        has_begun_ = true;
        const std::string_view whole =
            bytes.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(room_, bytes.size())));
        room_ -= whole.size();
        if (!whole.empty())
            if (auto taken = (*options_.sink)(whole); !taken) return taken;
        is_cut_ = whole.size() < bytes.size();
        return is_cut_ ? Result<void>{fail(Errc::truncated)} : Result<void>{};
    }

    const std::shared_ptr<Plan<FaultOptions>> plan_;
    Counter<FaultCounts>& counter_;
    const Request& request_;
    const SendOptions& options_;
    SendOptions how_;
    const Instant began_;
    const Instant over_;
    const Drawn<Then> drawn_;
    const bool is_late_;  // the delay takes all the time there is
    Instant due_;
    const TakeBytes nowhere_ = [](std::string_view) -> Result<void> { return {}; };
    const TakeBytes part_ = [this](std::string_view bytes) { return take(bytes); };
    std::uint64_t room_ = 0;
    bool has_begun_ = false;
    bool is_cut_ = false;
};

}  // namespace breakwater::faults
