#include <breakwater/store/local_fallback.hpp>
#include <breakwater/testing/manual_clock.hpp>
#include <catch_shim.hpp>

#include "../switched_store.hpp"
#include "store_contract.hpp"

#include <chrono>

namespace bw = breakwater;
using namespace std::chrono_literals;

namespace {

template <bool TellsLatest>
struct FallbackWorld {
    static constexpr bw::Duration unit = 1s;
    bw::ManualClock clock{};
    bw::LocalFallback<bw::test::SwitchedStore<TellsLatest>> store{
        bw::test::SwitchedStore<TellsLatest>{bw::MemoryStore{clock}}};

    void advance(bw::Duration by) const { clock.advance(by); }
};

}  // namespace

TEST_CASE("LocalFallback keeps the promises of a store") { bw::test::check_store_contract<FallbackWorld<true>>(); }

TEST_CASE("LocalFallback keeps the promises of a store around one that does not tell what it saw last") {
    bw::test::check_store_contract<FallbackWorld<false>>();
}
