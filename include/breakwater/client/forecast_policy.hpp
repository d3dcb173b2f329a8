#pragma once

#include <breakwater/attempt_forecast.hpp>
#include <breakwater/client/options.hpp>
#include <breakwater/pipeline/policy.hpp>
#include <breakwater/result.hpp>
#include <breakwater/store/store.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace breakwater {

/// The client's attempt forecast, if it has one; without one every attempt passes.
template <Store StoreType>
class ClientForecastPolicy {
public:
    static constexpr Place place = Place::forecast;
    using Lane = typename AttemptForecast<StoreType>::Lane;

    /// Goes on with what `before` has learned, if that is not null.
    ClientForecastPolicy(const std::string& name, const ClientForecastOptions& options, const StoreType& store,
                         const AttemptForecast<StoreType>* before = nullptr) {
        if (!options.quantile) return;
        if (before != nullptr)
            forecast_ = value_or_throw(before->reconfigured(forecast_options(name, options)));
        else
            forecast_.emplace(forecast_options(name, options), store);
    }

    /// Null if the client has none.
    const AttemptForecast<StoreType>* forecast() const noexcept { return forecast_ ? &*forecast_ : nullptr; }

    std::string_view name() const noexcept { return forecast_ ? forecast_->name() : std::string_view{}; }
    bool glance(Lane& lane, auto& call) const noexcept { return !forecast_ || forecast_->glance(lane, call); }
    Before before(Lane& lane, auto& call) const noexcept { return forecast_ ? forecast_->before(lane, call) : proceed; }
    Before reask(Lane& lane, auto& call) const noexcept { return forecast_ ? forecast_->reask(lane, call) : proceed; }
    After after(Lane& lane, auto& call, const auto& result) const noexcept {
        return forecast_ ? forecast_->after(lane, call, result) : done;
    }
    Error refusal(Lane& lane, auto& call, const Before& before) const noexcept {
        return forecast_->refusal(lane, call, before);
    }

private:
    std::optional<AttemptForecast<StoreType>> forecast_;
};

}  // namespace breakwater
