#pragma once

#include <memory>
#include <stop_token>

namespace breakwater::detail {

/// Asks `to` to stop when `from` is.
class StopLink {
public:
    StopLink(const std::stop_token& from, const std::stop_source& to) : link_{from, Relay{to}} {}
    StopLink(const StopLink&) = delete;
    StopLink& operator=(const StopLink&) = delete;

private:
    struct Relay {
        std::stop_source to;
        void operator()() noexcept { to.request_stop(); }
    };
    std::stop_callback<Relay> link_;
};

/// Two stop tokens as one. Small, and allocates only if a stop is possible through both.
class EitherStop {
public:
    EitherStop(const std::stop_token& a, const std::stop_token& b) {
        if (!a.stop_possible() || !b.stop_possible()) {
            token_ = a.stop_possible() ? a : b;
            return;
        }
        links_ = std::make_unique<Links>(a, b);
        token_ = links_->either.get_token();
    }

    const std::stop_token& token() const noexcept { return token_; }

private:
    struct Links {
        Links(const std::stop_token& a, const std::stop_token& b) : from_a{a, either}, from_b{b, either} {}
        std::stop_source either;
        StopLink from_a;
        StopLink from_b;
    };
    std::stop_token token_;
    std::unique_ptr<Links> links_;
};

}  // namespace breakwater::detail
