#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <memory>
#include <nlohmann/json.hpp>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "card.hpp"
#include "service.hpp"

namespace dashboard {

/// Three services with their troubles, one after the other.
template <bw::Store Store>
class Show {
public:
    explicit Show(Store store) : store_{std::move(store)} {
        for (const char* name : {"inventory", "orders", "payments"})
            cards_.push_back(std::make_unique<Card<Store>>(name, transport_, store_, metrics_));
    }

    nlohmann::json json() const {
        nlohmann::json json = {{"cards", nlohmann::json::array()}, {"store", nullptr}};
        for (const auto& card : cards_) json["cards"].push_back(card->json());
        if constexpr (requires { store_.instances(); })
            json["store"] = {{"is_up", store_.is_up()}, {"processes", store_.instances()}};
        return json;
    }

    std::string metrics() const { return metrics_.prometheus_text(); }

    bool press(const std::string& subject, const std::string& name, const std::string& word) {
        for (const auto& card : cards_) {
            if (card->name() != name) continue;
            if (subject == "circuit") return card->press(word);
            const auto weather = weather_from(word);
            if (weather) card->set(*weather);
            return weather.has_value();
        }
        return false;
    }

    /// One trouble after the other, over and over.
    void play(const std::stop_token& stop) {
        struct Scene {
            std::size_t card;
            Weather weather;
            std::chrono::seconds lasts;
        };
        static constexpr std::array scenes{Scene{0, Weather::well, 6s}, Scene{0, Weather::down, 9s},
                                           Scene{0, Weather::well, 8s}, Scene{1, Weather::slow, 9s},
                                           Scene{1, Weather::well, 8s}, Scene{2, Weather::flaky, 10s},
                                           Scene{2, Weather::well, 10s}};
        const bw::SteadyClock clock;
        for (std::size_t i = 0; !stop.stop_requested(); ++i) {
            const Scene& scene = scenes[i % scenes.size()];
            cards_[scene.card]->set(scene.weather);
            (void)clock.wait_until(clock.now() + scene.lasts, stop);
        }
    }

private:
    const Store store_;
    const bw::CurlTransport transport_{};
    const bw::Metrics metrics_{};
    std::vector<std::unique_ptr<Card<Store>>> cards_;
};

}  // namespace dashboard
