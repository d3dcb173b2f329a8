#include <breakwater/circuit_breaker.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/retry.hpp>
#include <breakwater/status_of.hpp>
#include <breakwater/testing/manual_clock.hpp>
#include <catch_shim.hpp>

#include <stdexcept>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::Errc;

namespace {

struct SupplierError : std::runtime_error {
    explicit SupplierError(int s) : std::runtime_error{"supplier"}, status{s} {}
    int status;
};
int status_of(const SupplierError& e) { return e.status; }

struct DerivedError : SupplierError {
    using SupplierError::SupplierError;
};

struct Code {
    short value;
};
short status_of(const Code& code) { return code.value; }

struct Broken {};
int status_of(const Broken&) { throw std::runtime_error{"no status"}; }

static_assert(bw::HasStatus<SupplierError> && bw::HasStatus<Code>);
static_assert(!bw::HasStatus<std::runtime_error>);

const bw::Pipeline with_status{bw::StatusOf<SupplierError, Code, Broken>{}};

template <class E>
std::optional<int> status_when_thrown(E exception) {
    const auto result = with_status.run([&]() -> int { throw exception; });
    REQUIRE_FALSE(result);
    CHECK(result.error().code() == Errc::exception);
    CHECK(result.error().exception() != nullptr);
    return result.error().status();
}

}  // namespace

TEST_CASE("a thrown exception gets the status it stands for, also through a base class") {
    CHECK(status_when_thrown(SupplierError{503}) == 503);
    CHECK(status_when_thrown(DerivedError{404}) == 404);
    CHECK(status_when_thrown(Code{429}) == 429);
}

TEST_CASE("what is not thrown, not listed or no HTTP status gets none") {
    CHECK(status_when_thrown(std::runtime_error{"other"}) == std::nullopt);
    CHECK(status_when_thrown(7) == std::nullopt);
    CHECK(status_when_thrown(SupplierError{0}) == std::nullopt);
    CHECK(status_when_thrown(SupplierError{99}) == std::nullopt);
    CHECK(status_when_thrown(SupplierError{600}) == std::nullopt);
    CHECK(status_when_thrown(SupplierError{70'000}) == std::nullopt);
    CHECK(with_status.run([] { return 1; }) == 1);
    CHECK(with_status.run([]() -> bw::Result<int> { return bw::fail(Errc::truncated); }).error().status() ==
          std::nullopt);
}

TEST_CASE("a status that is there already stays") {
    const auto result = with_status.run([]() -> bw::Result<int> {
        bw::Error error{Errc::exception};
        error.set_exception(std::make_exception_ptr(SupplierError{503})).set_status(404);
        return bw::fail(error);
    });
    CHECK(result.error().status() == 404);
}

TEST_CASE("a status_of that throws leaves the exception without a status") {
    CHECK(status_when_thrown(Broken{}) == std::nullopt);
}

TEST_CASE("retry and breaker see an exception's status") {
    const bw::ManualClock clock;
    const bw::MemoryStore store{clock};
    const bw::CircuitBreaker breaker{bw::CircuitBreakerOptions<>{.trip = bw::ConsecutiveFailures{2}}, store};
    const bw::Pipeline guard{bw::Retry{{.max_retries = 1}}, breaker, bw::StatusOf<SupplierError>{}};
    int calls = 0;
    const auto call_with = [&](int status) {
        return guard.run([&]() -> int {
            ++calls;
            throw SupplierError{status};
        });
    };
    CHECK(call_with(404).error().status() == 404);
    CHECK(calls == 1);
    CHECK(breaker.snapshot().counts.failures == 0);
    CHECK(call_with(503).error().status() == 503);
    CHECK(calls == 3);
    CHECK(breaker.state() == bw::CircuitState::open);
}
