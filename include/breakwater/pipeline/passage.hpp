#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/events.hpp>
#include <breakwater/pipeline/call.hpp>
#include <breakwater/pipeline/lanes.hpp>
#include <breakwater/pipeline/policy.hpp>
#include <breakwater/pipeline/questions.hpp>
#include <breakwater/pipeline/reports.hpp>
#include <breakwater/result.hpp>
#include <breakwater/task.hpp>
#include <breakwater/task/now_or_later.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

namespace breakwater {

/// What the driver has to do next.
enum class PassageStep : std::uint8_t {
    attempt,  ///< Make one: put what comes of it into the result, then `attempted()`.
    race,     ///< The same, but make several side by side, then `raced()`: see `HedgedPassage`.
    wait,     ///< Until `wake_at()`, then `waited()`.
    queue,    ///< Until `wake_at()` or the turn has come (`with_waiter`), then `queued()`.
    ask,      ///< Await what is in `question()`, then `answered(what it gave)`.
    over      ///< The result is the call's.
};

/// One call's way through its policies, from `First` to the one before `Last`, for a driver that cannot wait in the
/// middle of it: goes on until an attempt is to be made or something waited for, says so, and is told when that is
/// done.
///
///     for (Next next = passage.begin(); next != Next::over;) switch (next) { … next = passage.attempted(); … }
///
/// Where policies stand further in (`Last` is not their number), "attempt" means: go on there. Decides exactly as the
/// blocking driver does. Belongs to whoever makes the call; stays where it is.
template <class AnyCall, class T, std::size_t First, std::size_t Last, class... P>
class Passage {
public:
    using Next = PassageStep;

    using Questions = detail::Questions<AnyCall, First, Last, P...>;
    using Answers = typename Questions::Answers;
    using Question = typename Questions::Question;
    /// Whether any policy may have to ask its store.
    static constexpr bool asks = Questions::asks;

    /// What comes of the call goes into `result`.
    Passage(const std::tuple<P...>& policies, AnyCall& call, detail::TaskRoom<Result<T>>& result) noexcept
        : policies_{policies}, call_{call}, result_{result} {}
    Passage(const Passage&) = delete;
    Passage& operator=(const Passage&) = delete;
    ~Passage() = default;

    const std::tuple<P...>& policies() const noexcept { return policies_; }
    AnyCall& call() const noexcept { return call_; }
    detail::TaskRoom<Result<T>>& result() const noexcept { return result_; }
    Instant wake_at() const noexcept { return wake_at_; }
    Question* question() noexcept {
        if constexpr (asks)
            return &questions_.awaited;
        else
            return nullptr;
    }

    /// Calls `use(waiter)` with the queue's waiter of the policy that the call queues at.
    template <class F>
    void with_waiter(F use) {
        Lanes::at(at_, [&]<std::size_t I>(Index<I>) {
            if constexpr (requires { typename PolicyAt<I>::Waiter; }) use(*waiter<I>());
        });
    }

    [[gnu::always_inline]] Next begin() {
        if (is_over()) {
            result_.emplace(fail(detail::why_over(call_)));
            return finish();
        }
        return enter<First>();
    }

    [[gnu::always_inline]] Next attempted() {
        if constexpr (is_innermost) {
            call_.now.forget();  // time has passed
            if (call_.is_observed()) [[unlikely]]
                detail::report_end(call_, *result_);
        }
        return leave<Last>();
    }

    Next waited() {
        call_.now.forget();
        Next next{};
        if (after_) {
            Lanes::at(at_, [&]<std::size_t I>(Index<I>) { next = again<I>(); });
        } else {
            Lanes::at(at_, [&]<std::size_t I>(Index<I>) { next = ask_again<I>(); });
        }
        return next;
    }

    Next queued() {
        call_.now.forget();
        Next next{};
        Lanes::at(at_, [&]<std::size_t I>(Index<I>) {
            if constexpr (requires { typename PolicyAt<I>::Waiter; }) next = take_turn<I>();
        });
        return next;
    }

    Next answered(const Answers& answers) {
        call_.now.forget();
        const std::size_t refuses = questions_.heed(answers);
        if (refuses < Last) return refused_by(refuses, *answers[refuses], questions_.asked[refuses]);
        return ask_the_open(answers);
    }
    Next answered(const After& after) {
        call_.now.forget();
        Next next{};
        Lanes::at(questions_.left, [&]<std::size_t I>(Index<I>) { next = left<I>(after); });
        return next;
    }

private:
    // The way of a call that succeeds at once is inlined, and what happens otherwise is not, as in the blocking driver:
    // `enter` and `leave` are that way, `enter_late` and `leave_late` the same after anything else.

    static constexpr bool is_innermost = Last == sizeof...(P);
    using Lanes = detail::Lanes<First, Last, P...>;
    template <std::size_t I>
    using Index = typename Lanes::template Index<I>;
    template <std::size_t I>
    using PolicyAt = typename Lanes::template PolicyAt<I>;

    using Asked = detail::Asked;
    /// What follows when all policies outside have been asked again.
    enum class Then : std::uint8_t { ask_again, go_on };

    template <std::size_t I>
    [[gnu::always_inline]] auto& lane() noexcept {
        return lanes_.template lane<I>();
    }
    template <std::size_t I>
    auto& waiter() noexcept {
        return lanes_.template waiter<I>();
    }
    template <std::size_t I>
    const PolicyAt<I>& policy() const noexcept {
        return std::get<I>(policies_);
    }

    // Inwards.

    template <std::size_t I>
    [[gnu::always_inline]] Next enter() {
        if constexpr (Questions::settles_at(I)) {
            if (has_questions()) [[unlikely]]
                return settle(I);
        }
        if constexpr (I == Last) {
            return attempt();
        } else {
            const Before before = ask<I>();
            if (before.kind == Before::Kind::proceed) [[likely]]
                return enter<I + 1>();
            return stopped_by<I>(before);
        }
    }
    template <std::size_t I>
    [[gnu::noinline]] Next enter_late() {
        if constexpr (Questions::settles_at(I)) {
            if (has_questions()) return settle(I);
        }
        if constexpr (I == Last)
            return attempt();
        else
            return stopped_by<I>(ask<I>());
    }
    template <std::size_t I>
    [[gnu::always_inline]] Before ask() {
        lanes_.template begin<I>();
        if constexpr (Questions::can_ask[I]) questions_.is_open[I] = false;
        if constexpr (requires { policy<I>().glance(lane<I>(), call_); }) {
            if (policy<I>().glance(lane<I>(), call_)) [[likely]]
                return proceed;
        }
        return before<I>(Asked::before);
    }
    template <std::size_t I>
    [[gnu::always_inline]] Before before(Asked asked) {
        if constexpr (Questions::can_ask[I])
            return questions_.template keep<I>(policy<I>().async_before(lane<I>(), call_), asked);
        else
            return policy<I>().before(lane<I>(), call_);
    }

    // Asking.

    bool has_questions() const noexcept {
        if constexpr (asks)
            return questions_.are_kept;
        else
            return false;
    }
    void drop_questions() noexcept {
        if constexpr (asks) questions_.drop();
    }
    /// Asks what is to be asked; then the call goes on inwards to policy `inner`, or asks those outside again from
    /// there on.
    Next settle(std::size_t inner, bool is_reasking = false) {
        if constexpr (asks) {
            questions_.goes_on_at = inner;
            questions_.is_reasking = is_reasking;
            questions_.ask();
        }
        return Next::ask;
    }
    /// No policy refuses. Some that were asked in the round may have to be asked again: one was refused there, and goes
    /// on all the same, as a circuit in shadow mode does.
    Next ask_the_open(const Answers& answers) {
        const auto [inner, is_reasking] = std::pair{questions_.goes_on_at, questions_.is_reasking};
        for (std::size_t i = First; i < Last; ++i) {
            if (!answers[i] || !questions_.is_open[i]) continue;
            Before before;
            Lanes::at(i, [&]<std::size_t I>(Index<I>) { before = this->before<I>(questions_.asked[I]); });
            if (before.kind != Before::Kind::proceed) return refused_by(i, before, questions_.asked[i]);
        }
        if (has_questions()) return settle(inner, is_reasking);
        if (is_reasking) return reask_from(inner);
        if (inner == Last) return attempt();
        Next next{};
        Lanes::at(inner, [&]<std::size_t I>(Index<I>) { next = enter_late<I>(); });
        return next;
    }
    /// Policy `i`, which the call has passed, does not say proceed.
    Next refused_by(std::size_t i, const Before& before, Asked asked) {
        Next next{};
        if (asked == Asked::reask) {
            come_back_to(at_);
            std::optional<Error> refused;
            Lanes::at(i, [&]<std::size_t I>(Index<I>) { refused.emplace(refusal<I>(before)); });
            Lanes::at(at_, [&]<std::size_t I>(Index<I>) { next = end<I>(*std::move(refused)); });
        } else {
            come_back_to(i);
            Lanes::at(i, [&]<std::size_t I>(Index<I>) {
                next = asked == Asked::before ? stopped_by<I>(before) : decided_again<I>(before);
            });
        }
        return next;
    }
    /// The policies inside `i` are left without an attempt having been made.
    void come_back_to(std::size_t i) {
        Result<T> none = fail(Errc::cancelled);
        while (lanes_.inside() > i + 1) {
            Lanes::at(lanes_.inside() - 1, [&]<std::size_t I>(Index<I>) {
                (void)policy<I>().after(lane<I>(), call_, none);
                lanes_.template end<I>();
            });
        }
    }

    /// The policy has not said proceed.
    template <std::size_t I>
    [[gnu::noinline]] Next stopped_by(const Before& before) {
        switch (before.kind) {
            case Before::Kind::proceed: return enter_late<I + 1>();
            case Before::Kind::answer: return answer<I>();
            case Before::Kind::wait:
                if (!may_wait(before.delay)) break;
                return before.delay > Duration{0} ? sleep<I>(before.delay) : ask_again<I>();
            case Before::Kind::queue:
                if constexpr (requires { typename PolicyAt<I>::Waiter; }) {
                    if (!call_.may_wait()) return refuse<I>(reject(before.code));
                    began_ = call_.now();
                    if (!policy<I>().enqueue(lane<I>(), waiter<I>().emplace())) {
                        waiter<I>().reset();
                        return refuse<I>(reject(before.code));
                    }
                    at_ = I;
                    drop_questions();
                    wake_at_ = std::min(began_ + before.delay, call_.deadline);
                    return Next::queue;
                }
                break;
            case Before::Kind::reject:
            case Before::Kind::withdrawn: break;
        }
        return refuse<I>(before);
    }

    /// The policy has the result itself.
    template <std::size_t I>
    Next answer() {
        if constexpr (requires { policy<I>().answer(lane<I>(), call_); }) {
            drop_questions();
            result_.emplace(policy<I>().answer(lane<I>(), call_));
            return leave_late<I>();
        } else {
            return enter_late<I + 1>();
        }
    }

    bool may_wait(Duration delay) noexcept {
        delay_ = delay;
        after_ = false;
        return call_.may_wait() && call_.remaining() > delay;
    }
    template <std::size_t I>
    [[gnu::noinline]] Next sleep(Duration delay) {
        at_ = I;
        drop_questions();
        wake_at_ = call_.now() + delay;
        return Next::wait;
    }

    /// The wait that the policy has asked for is over.
    template <std::size_t I>
    [[gnu::noinline]] Next ask_again() {
        if (is_over()) return end<I>(detail::why_over(call_));
        detail::report_wait(call_, policy<I>(), lane<I>(), delay_);
        return reask<I>(Then::ask_again);
    }
    template <std::size_t I>
    Next decided_again(const Before& before) {
        if (before.kind == Before::Kind::proceed) return enter_late<I + 1>();
        if (before.kind == Before::Kind::answer) return answer<I>();
        if (before.kind != Before::Kind::wait || !may_wait(before.delay)) return refuse<I>(before);
        return before.delay > Duration{0} ? sleep<I>(before.delay) : ask_again<I>();
    }

    template <std::size_t I>
    [[gnu::noinline]] Next take_turn() {
        const Before before = policy<I>().settle(lane<I>(), *waiter<I>());
        waiter<I>().reset();
        if (before.kind == Before::Kind::answer) return answer<I>();
        if (before.kind == Before::Kind::reject) return is_over() ? end<I>(detail::why_over(call_)) : refuse<I>(before);
        if (call_.is_observed()) detail::report_wait(call_, policy<I>(), lane<I>(), call_.now() - began_);
        call_.now();  // so that the attempt's beginning is as well known as that of one that did not wait
        return reask<I>(Then::go_on);
    }

    /// Asks the policies outside `I` whether what they have admitted still stands; then `I` is asked again, or the call
    /// goes on inwards.
    template <std::size_t I>
    Next reask(Then then) {
        at_ = I;
        then_ = then;
        if constexpr (I == First)
            return go_on<I>();
        else
            return reask_from(First);
    }
    /// The same from policy `outer` on.
    [[gnu::noinline]] Next reask_from(std::size_t outer) {
        for (; outer < at_; ++outer) {
            Asked asked = Asked::reask;
            if constexpr (asks) {
                if (questions_.is_open[outer]) asked = Asked::before;
            }
            Before before;
            Lanes::at(outer, [&]<std::size_t I>(Index<I>) { before = reask_one<I>(asked); });
            if (before.kind != Before::Kind::proceed) return refused_by(outer, before, asked);
            if (has_questions() && !Questions::joins_next(outer)) return settle(outer + 1, true);
        }
        Next next{};
        Lanes::at(at_, [&]<std::size_t I>(Index<I>) { next = go_on<I>(); });
        return next;
    }
    template <std::size_t I>
    Before reask_one(Asked asked) {
        if constexpr (Questions::can_ask[I]) {
            if (asked == Asked::before) return before<I>(asked);
        }
        if constexpr (requires { policy<I>().async_reask(lane<I>(), call_); })
            return questions_.template keep<I>(policy<I>().async_reask(lane<I>(), call_), asked);
        else if constexpr (requires { policy<I>().reask(lane<I>(), call_); })
            return policy<I>().reask(lane<I>(), call_);
        else
            return proceed;
    }
    /// All that was admitted outside still stands.
    template <std::size_t I>
    Next go_on() {
        return then_ == Then::go_on ? enter_late<I + 1>() : decided_again<I>(before<I>(Asked::before_again));
    }

    [[gnu::always_inline]] Next attempt() {
        if (is_over()) [[unlikely]] {
            result_.emplace(fail(detail::why_over(call_)));
            return leave_late<Last>();
        }
        if constexpr (is_innermost) {
            ++call_.attempt;
            call_.attempt_began = call_.now.if_read();
            if (call_.is_observed()) [[unlikely]]
                detail::report_beginning(call_);
        }
        return Next::attempt;
    }

    // Outwards.

    template <std::size_t I>
    Next refuse(const Before& before) {
        return end<I>(refusal<I>(before));
    }
    /// The call goes back with an error from here, not having been inside.
    template <std::size_t I>
    [[gnu::noinline]] Next end(Error error) {
        drop_questions();
        result_.emplace(fail(std::move(error)));
        return leave_late<I>();
    }

    /// The call leaves policy `I`, if there is one, and has come back to the one before.
    template <std::size_t I>
    [[gnu::always_inline]] Next leave() {
        if constexpr (I < Last) lanes_.template end<I>();
        if constexpr (I == First) {
            return finish();
        } else {
            const std::optional<After> after = this->after<I - 1>();
            if (after && !after->again) [[likely]]
                return leave<I - 1>();
            return after ? once_more<I - 1>(after->delay) : Next::ask;
        }
    }
    template <std::size_t I>
    [[gnu::noinline]] Next leave_late() {
        if constexpr (I < Last) lanes_.template end<I>();
        if constexpr (I == First) {
            return finish();
        } else {
            const std::optional<After> after = this->after<I - 1>();
            return after ? left<I - 1>(*after) : Next::ask;
        }
    }
    /// Nothing if that is a question.
    template <std::size_t I>
    [[gnu::always_inline]] std::optional<After> after() {
        if constexpr (requires { policy<I>().glance_back(lane<I>(), *result_); }) {
            if (policy<I>().glance_back(lane<I>(), *result_)) [[likely]]
                return done;
        }
        if constexpr (requires { policy<I>().async_after(lane<I>(), call_, *result_); })
            return known<I>(policy<I>().async_after(lane<I>(), call_, *result_));
        else
            return policy<I>().after(lane<I>(), call_, *result_);
    }
    template <std::size_t I>
    std::optional<After> known(NowOrLater<After> decision) {
        if (const After* const known = decision.value()) return *known;
        questions_.awaited = std::move(decision).task();
        questions_.left = I;
        return {};
    }
    template <std::size_t I>
    Next left(const After& after) {
        return after.again ? once_more<I>(after.delay) : leave_late<I>();
    }
    template <std::size_t I>
    [[gnu::noinline]] Next once_more(Duration delay) {
        after_ = true;
        return delay > Duration{0} ? sleep<I>(delay) : again<I>();
    }

    /// Once more into policy `I`.
    template <std::size_t I>
    [[gnu::noinline]] Next again() {
        if (is_over()) {
            result_.emplace(fail(detail::cut_short(detail::why_over(call_), *result_)));
            return leave_late<I>();
        }
        call_.attempt_began = Instant::max();
        return enter_late<I + 1>();
    }

    [[gnu::always_inline]] Next finish() {
        if (!*result_) [[unlikely]]
            result_->error().set_attempts(call_.attempt);
        return Next::over;
    }

    template <std::size_t I>
    Error refusal(const Before& before) {
        return detail::refusal_of(policy<I>(), lane<I>(), call_, before);
    }

    bool is_over() noexcept { return call_.stop_requested() || call_.out_of_time(); }

    const std::tuple<P...>& policies_;
    AnyCall& call_;
    detail::TaskRoom<Result<T>>& result_;
    Lanes lanes_;
    std::uint8_t at_ = 0;  // of a wait: the policy that has asked for it
    bool after_ = false;   // it has done so after an attempt
    Then then_{};
    [[no_unique_address]] std::conditional_t<asks, Questions, std::monostate> questions_;
    Duration delay_{};
    Instant began_{};
    Instant wake_at_{};
};

}  // namespace breakwater
