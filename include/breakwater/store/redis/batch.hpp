#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/store/fleet/link.hpp>
#include <breakwater/store/redis/connections.hpp>
#include <breakwater/store/redis/failure.hpp>
#include <breakwater/store/redis/reply.hpp>
#include <breakwater/store/redis/script.hpp>
#include <breakwater/store/redis/scripts.hpp>
#include <breakwater/store/redis/steps.hpp>
#include <breakwater/store/redis/wire.hpp>
#include <breakwater/task/round.hpp>

#include <cstddef>
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace breakwater::redis {

/// The steps of one who asks or of several, which a script takes as one. Their keys have one `{hash-tag}`, which names
/// the channel of their news.
class ScriptBatch final : public Round::Batch {
public:
    ScriptBatch(Connections& connections, std::string channel)
        : connections_{connections}, channel_{std::move(channel)} {}

    /// Whether steps on this channel can be taken with these.
    bool fits(const Connections& connections, std::string_view channel) const noexcept {
        return &connections == &connections_ && channel == channel_;
    }

    template <class Done, Scripted... M, class... C>
    void add(Done done, const fleet::RemoteStep<M, C>&... steps) {
        if (askers_.empty()) key_ = std::get<0>(std::tie(steps...)).key;
        (words_.add(steps), ...);
        scripts_.push_back(&composed_for<M...>());
        askers_.push_back(std::make_unique<AskerOf<Done, fleet::RemoteStep<M, C>...>>(std::move(done), steps...));
    }

    void send() override {
        const Script& script = script_for_all(std::move(scripts_));
        connections_.submit({.key = std::move(key_),
                             .command = words_.evalsha(script, channel_),
                             .script = &script,
                             .done = [askers = std::move(askers_)](Reply&& reply) { tell(askers, reply); }});
    }

private:
    /// Who has asked for some of the steps.
    class Asker {
    public:
        Asker() = default;
        Asker(const Asker&) = delete;
        Asker& operator=(const Asker&) = delete;
        virtual ~Asker() = default;
        /// Reads its own decisions; says whether one is a refusal.
        virtual bool read(Instant now, Numbers& numbers) = 0;
        /// What was read.
        virtual void tell() = 0;
        virtual void tell(fleet::LinkFailure failure) = 0;
    };
    template <class Done, class... Steps>
    class AskerOf;
    using Askers = std::vector<std::unique_ptr<Asker>>;

    static void tell(const Askers& askers, const Reply& reply) {
        const auto all_fail = [&](const fleet::LinkFailure& failure) {
            for (const auto& asker : askers) asker->tell(failure);
        };
        if (!reply.ok()) return all_fail(failure_of(reply));
        Numbers numbers{reply.numbers};
        const Instant now{Duration{numbers.next()}};
        const Asker* refused = nullptr;
        for (const auto& asker : askers)
            if (refused == nullptr && asker->read(now, numbers)) refused = asker.get();
        if (numbers.is_short() || !numbers.is_at_end()) return all_fail(garbled());
        for (const auto& asker : askers) {
            if (refused == nullptr || refused == asker.get())
                asker->tell();
            else
                asker->tell({fleet::LinkFailure::Kind::withdrawn, {}});
        }
    }

    Connections& connections_;
    const std::string channel_;
    std::string key_;
    StepWords words_;
    std::vector<const ComposedScript*> scripts_;
    Askers askers_;
};

template <class Done, class... M, class... C>
class ScriptBatch::AskerOf<Done, fleet::RemoteStep<M, C>...> final : public Asker {
    using Reply = fleet::Reply<fleet::RemoteStep<M, C>...>;

public:
    AskerOf(Done done, const fleet::RemoteStep<M, C>&... steps)
        : done_{std::move(done)}, options_{steps.options...}, commands_{steps.command...} {}

    bool read(Instant now, Numbers& numbers) override {
        answers_.now = now;
        return [&]<std::size_t... I>(std::index_sequence<I...>) {
            return read_decisions(numbers, answers_.decisions,
                                  fleet::remote<M>({}, std::get<I>(options_), std::get<I>(commands_))...);
        }(std::index_sequence_for<M...>{});
    }
    void tell() override { pass_on(Reply{std::move(answers_)}); }
    void tell(fleet::LinkFailure failure) override { pass_on(Reply{std::unexpected{std::move(failure)}}); }

private:
    /// Out of line: inlined, g++ 12 sees words destroyed that were never there.
    [[gnu::noinline]] void pass_on(Reply reply) { done_(std::move(reply)); }

    Done done_;
    std::tuple<typename M::Options...> options_;
    std::tuple<C...> commands_;
    fleet::Answers<fleet::RemoteStep<M, C>...> answers_;
};

}  // namespace breakwater::redis
