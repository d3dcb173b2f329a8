#pragma once

#include <memory>
#include <stop_token>

namespace breakwater::detail {

/// Asks `to`, which has to be there as long as this is, to stop when `from` is.
class StopLink {
public:
    StopLink(const std::stop_token& from, const std::stop_source& to) : link_{from, Relay{&to}} {}
    StopLink(const StopLink&) = delete;
    StopLink& operator=(const StopLink&) = delete;

private:
    struct Relay {
        const std::stop_source* to;
        void operator()() const noexcept { std::stop_source{*to}.request_stop(); }  // what stops may destroy the link
    };
    std::stop_callback<Relay> link_;
};

/// Stop tokens as one. Small, and allocates only if a stop is possible through several.
class EitherStop {
public:
    EitherStop(const std::stop_token& a, const std::stop_token& b, const std::stop_token& c = {}) {
        const std::stop_token* only = nullptr;
        int possible = 0;
        for (const auto* each : {&a, &b, &c})
            if (each->stop_possible()) only = ++possible == 1 ? each : nullptr;
        if (only != nullptr) token_ = *only;
        if (possible < 2) return;
        links_ = std::make_unique<Links>(a, b, c);
        token_ = links_->either.get_token();
    }

    const std::stop_token& token() const noexcept { return token_; }

private:
    struct Links {
        Links(const std::stop_token& a, const std::stop_token& b, const std::stop_token& c)
            : from_a{a, either}, from_b{b, either}, from_c{c, either} {}
        std::stop_source either;
        StopLink from_a;
        StopLink from_b;
        StopLink from_c;
    };
    std::stop_token token_;
    std::unique_ptr<Links> links_;
};

}  // namespace breakwater::detail
