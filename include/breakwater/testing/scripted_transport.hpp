#pragma once

#include <breakwater/http/request.hpp>
#include <breakwater/http/response.hpp>
#include <breakwater/result.hpp>
#include <breakwater/timeline.hpp>
#include <breakwater/transport/transport.hpp>

#include <array>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace breakwater {

/// One answer of a `ScriptedTransport`: a response, an error, or a function of the request that returns either.
class ScriptedAnswer {
public:
    using Function = std::function<Result<Response>(const Request&)>;

    /// `took` is how long the exchange seems to last: see `ScriptedTransport::on_elapse`.
    ScriptedAnswer(Response response, Duration took = {})
        : ScriptedAnswer{Result<Response>{std::move(response)}, took} {}
    ScriptedAnswer(Error error, Duration took = {}) : ScriptedAnswer{Result<Response>{fail(std::move(error))}, took} {}
    ScriptedAnswer(Result<Response> result, Duration took = {})
        : function_{[result = std::move(result)](const Request&) { return result; }}, took_{took} {}
    /// The function is called once per exchange, by the thread that sends, with nothing held.
    template <class F>
        requires std::is_invocable_r_v<Result<Response>, F&, const Request&>
    ScriptedAnswer(F function, Duration took = {}) : function_{std::move(function)}, took_{took} {}

    Result<Response> operator()(const Request& request) const { return function_(request); }
    Duration took() const noexcept { return took_; }

private:
    Function function_;
    Duration took_;
};

/// A transport for tests: answers from a list, in order, and keeps what it was asked.
///
/// Otherwise it behaves like a real one: it refuses invalid requests and answers that are too large, ends an exchange
/// that takes longer than the timeout, stops when asked to, reads a streamed body (into the record), and feeds a sink
/// and a progress callback in one go. It is a thread-safe handle; copies share the script and the record.
///
///     ScriptedTransport service{Response{.status = 503}, Error{Errc::connect_failed}, Response{.status = 200}};
class ScriptedTransport {
public:
    /// What happens after the last answer.
    enum class AtEnd : std::uint8_t {
        fail,    ///< `Errc::transport_failed`, saying so.
        repeat,  ///< The last answer again.
    };

    /// What it was asked.
    struct Exchange {
        Request request;
        SendOptions options;
    };

    ScriptedTransport() : ScriptedTransport{std::vector<ScriptedAnswer>{}} {}
    ScriptedTransport(std::initializer_list<ScriptedAnswer> answers)
        : ScriptedTransport{std::vector<ScriptedAnswer>{answers}} {}
    explicit ScriptedTransport(std::vector<ScriptedAnswer> answers, AtEnd at_end = AtEnd::fail)
        : state_{std::make_shared<State>()} {
        state_->answers = std::move(answers);
        state_->at_end = at_end;
    }

    /// Answers every request alike, for ever.
    static ScriptedTransport always(ScriptedAnswer answer) {
        return ScriptedTransport{std::vector{std::move(answer)}, AtEnd::repeat};
    }

    /// Appends an answer.
    void add(ScriptedAnswer answer) const {
        const std::lock_guard lock{state_->mutex};
        state_->answers.push_back(std::move(answer));
    }

    /// Called with the time each exchange takes, before it is answered: the place to move a `ManualClock`.
    void on_elapse(std::function<void(Duration)> hook) const {
        const std::lock_guard lock{state_->mutex};
        state_->elapse = std::move(hook);
    }

    Result<Response> send(const Request& given, const SendOptions& options) const {
        if (auto valid = validate(given); !valid) return fail(std::move(valid.error()));
        if (options.stop.stop_requested()) return fail(Error{Errc::cancelled}.set_sent(Sent::no));

        Request request = given;
        if (auto read = read_body(request); !read) return fail(std::move(read.error()));
        std::optional<ScriptedAnswer> answer;
        std::function<void(Duration)> elapse;
        {
            const std::lock_guard lock{state_->mutex};
            state_->exchanges.push_back({request, options});
            if (state_->next < state_->answers.size()) {
                answer = state_->answers[state_->next++];
            } else if (state_->at_end == AtEnd::repeat && !state_->answers.empty()) {
                answer = state_->answers.back();
            }
            elapse = state_->elapse;
        }
        if (!answer) {
            return fail(Errc::transport_failed, "the script has no answer left for request " + std::to_string(count()));
        }
        const bool late = answer->took() > options.timeout;
        if (elapse) elapse(late ? options.timeout : answer->took());
        if (options.stop.stop_requested()) return fail(Errc::cancelled);
        if (late) return fail(Errc::attempt_timeout);

        Result<Response> result = (*answer)(request);
        const bool is_sunk = result && options.sink != nullptr && result->is_success();
        const std::uint64_t most =
            is_sunk ? options.max_sink_bytes.value_or(std::uint64_t{0} - 1) : std::uint64_t{options.max_response_bytes};
        if (result && result->body.size() > most) return fail(Errc::too_large);
        if (result && options.progress != nullptr) {
            const std::uint64_t sent = request.body ? request.body->text().size() : 0;
            const std::uint64_t received = result->body.size();
            auto told = tell(*options.progress, {sent, sent, received, received});
            if (!told) return fail(std::move(told.error()));
        }
        if (result && options.head != nullptr && result->is_success()) {
            std::string body = std::exchange(result->body, {});
            if (auto seen = show(*options.head, *result); !seen) return fail(std::move(seen.error()));
            result->body = std::move(body);
        }
        if (is_sunk && !result->body.empty()) {
            if (auto taken = give(*options.sink, std::exchange(result->body, {})); !taken)
                return fail(std::move(taken.error()));
        }
        if (result && result->url.empty()) result->url = request.url;
        return result;
    }

    /// The same for a coroutine, which never has to wait for it.
    class Sending {
    public:
        Sending(const ScriptedTransport& transport, const Request& request, const SendOptions& options) noexcept
            : transport_{transport}, request_{request}, options_{options} {}
        static bool await_ready() noexcept { return true; }
        static void await_suspend(std::coroutine_handle<>) noexcept {}
        Result<Response> await_resume() const { return transport_.send(request_, options_); }

    private:
        const ScriptedTransport& transport_;
        const Request& request_;
        const SendOptions& options_;
    };
    Sending async_send(const Request& request, const SendOptions& options) const noexcept {
        return {*this, request, options};
    }

    /// How many valid requests were sent.
    std::size_t count() const {
        const std::lock_guard lock{state_->mutex};
        return state_->exchanges.size();
    }

    /// How many answers of the list are left.
    std::size_t left() const {
        const std::lock_guard lock{state_->mutex};
        return state_->answers.size() - state_->next;
    }

    /// Everything it was asked, in order.
    std::vector<Exchange> exchanges() const {
        const std::lock_guard lock{state_->mutex};
        return state_->exchanges;
    }

    /// The requests of it.
    std::vector<Request> requests() const {
        std::vector<Request> requests;
        for (Exchange& exchange : exchanges()) requests.push_back(std::move(exchange.request));
        return requests;
    }

private:
    /// A body that is read becomes bytes, for the record.
    static Result<void> read_body(Request& request) {
        if (!request.body || request.body->is_text()) return {};
        auto opened = request.body->open();
        if (!opened) return fail(std::move(opened.error().set_sent(Sent::no)));
        BodyTransfer transfer{*std::move(opened)};
        std::string text;
        for (std::array<char, 4096> buffer;;) {
            const auto count = transfer.read(buffer);
            if (!count) return fail(count.error());
            if (*count == 0) break;
            text.append(buffer.data(), *count);
        }
        request.body = std::move(text);
        return {};
    }

    struct State {
        std::mutex mutex;
        std::vector<ScriptedAnswer> answers;
        std::size_t next = 0;
        AtEnd at_end = AtEnd::fail;
        std::function<void(Duration)> elapse;
        std::vector<Exchange> exchanges;
    };

    std::shared_ptr<State> state_;
};

}  // namespace breakwater
