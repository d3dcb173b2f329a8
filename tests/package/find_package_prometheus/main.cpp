#include <breakwater/observe/prometheus.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/retry.hpp>

#include <prometheus/text_serializer.h>

#include <iostream>

namespace bw = breakwater;

int main() {
    const bw::Metrics metrics;
    const bw::Pipeline guard{bw::Observe{metrics, "ledger"}, bw::Retry{}};
    (void)guard.run([] { return 42; });
    const std::string page = prometheus::TextSerializer{}.Serialize(bw::prometheus_collectable(metrics)->Collect());
    std::cout << page;
    return page.find("breakwater_attempts_total{client=\"ledger\"") != std::string::npos ? 0 : 1;
}
