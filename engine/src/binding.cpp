// What Python sees of the engine: mediaserverd/media/_engine.pyi describes the same in its own words. Values are copied
// on the way; no Python object is kept, and the interpreter lock is given back in every call that may wait.
// Over 400 lines, as it is the engine's whole surface and nothing else.

#include <nanobind/nanobind.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cmath>
#include <cstdint>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "engine.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace engine {

namespace {

using Endpoint = std::pair<std::string, int>;

struct PythonStream {
    std::uint32_t ssrc;
    std::uint8_t payload_type;
    std::uint32_t clock_rate;
    std::uint64_t packets, octets, lost, duplicates, reordered, restarts;
    double jitter_ms;
};

struct PythonLeg {
    LegStreams::Sums sums;
    LegCounters counters;
    double jitter_ms;
    std::uint64_t ssrc_changes;
    std::optional<Endpoint> announced, seen_from;
    std::optional<double> last_packet_age_s;
    std::vector<PythonStream> streams;
};

struct PythonSession {
    double age_s;
    std::uint64_t tap_overflow;
    std::pair<PythonLeg, PythonLeg> legs;
};

Leg leg_of(int index) {
    if (index != 0 && index != 1) throw std::invalid_argument("a leg is 0 or 1");
    return index == 0 ? Leg::kA : Leg::kB;
}

Side side_of(int index) { return leg_of(index) == Leg::kA ? Side::kCaller : Side::kCalled; }

Address address_of(const std::string& ip, int port) {
    if (port < 0 || port > 65535) throw std::invalid_argument("a port is 0 to 65535");
    const auto address = Address::parse(ip, static_cast<std::uint16_t>(port));
    if (!address) throw std::invalid_argument("not an IP address: " + ip.substr(0, 64));
    return *address;
}

Address local_of(const std::string& ip, int port) {
    if (port < 1 || port > 65534) throw std::invalid_argument("an RTP port is 1 to 65534, RTCP is one above");
    return address_of(ip, port);
}

Address remote_of(const std::optional<Endpoint>& endpoint) {
    return endpoint ? address_of(endpoint->first, endpoint->second) : Address{};
}

std::optional<Endpoint> endpoint_of(const Address& address) {
    if (address.family == AF_UNSPEC) return std::nullopt;
    return Endpoint{address.ip_text(), address.port};
}

Remote make_remote(const std::optional<Endpoint>& rtp, const std::optional<Endpoint>& rtcp, bool mux,
                   Latching latching) {
    Remote remote{.rtp = remote_of(rtp), .rtcp = remote_of(rtcp), .rtcp_mux = mux, .latching = latching};
    if (!rtcp && remote.rtp.is_sendable() && remote.rtp.port < 65535) {
        remote.rtcp = remote.rtp;
        ++remote.rtcp.port;
    }
    return remote;
}

ClockRates make_clock_rates(const std::map<int, int>& given) {
    ClockRates rates;
    for (const auto& [payload_type, rate] : given) {
        if (payload_type < 0 || payload_type > 127 || rate < 1) {
            throw std::invalid_argument("clock rates: payload type 0 to 127 to a positive rate");
        }
        rates.set(static_cast<std::uint8_t>(payload_type), static_cast<std::uint32_t>(rate));
    }
    return rates;
}

std::vector<std::uint8_t> octets_of(const nb::bytes& bytes) {
    const auto* data = static_cast<const std::uint8_t*>(bytes.data());
    return {data, data + bytes.size()};
}

double seconds(std::chrono::nanoseconds duration) { return std::chrono::duration<double>(duration).count(); }

PythonStream describe(const Stream& stream) {
    return {stream.ssrc(), stream.payload_type(), stream.clock_rate(), stream.packets(),  stream.octets(),
            stream.lost(), stream.duplicates(),   stream.reordered(),  stream.restarts(), stream.jitter_ms()};
}

PythonLeg describe(const LegState& leg, Time now) {
    const Latch& latch = leg.latches[index_of(Component::kRtp)];
    const Stream* current = leg.streams.current();
    PythonLeg described{.sums = leg.streams.sums(),
                        .counters = leg.counters,
                        .jitter_ms = current == nullptr ? 0.0 : current->jitter_ms(),
                        .ssrc_changes = leg.streams.ssrc_changes(),
                        .announced = endpoint_of(latch.announced()),
                        .seen_from = endpoint_of(latch.seen_from()),
                        .last_packet_age_s = std::nullopt,
                        .streams = {}};
    if (leg.last_packet) described.last_packet_age_s = seconds(now - *leg.last_packet);
    for (const Stream& stream : leg.streams.streams()) described.streams.push_back(describe(stream));
    return described;
}

PythonSession describe(const Snapshot& snapshot) {
    return {.age_s = seconds(snapshot.taken - snapshot.opened),
            .tap_overflow = snapshot.tap_overflow,
            .legs = {describe(snapshot.session.leg(Leg::kA), snapshot.taken),
                     describe(snapshot.session.leg(Leg::kB), snapshot.taken)}};
}

std::chrono::nanoseconds duration_of(double seconds) {
    if (!(seconds >= 0.0 && seconds < 1e9)) throw std::invalid_argument("seconds: not negative");
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(seconds));
}

std::vector<std::uint64_t> silent_sessions(Engine& engine, double duration_s) {
    std::vector<std::uint64_t> numbers;
    for (const SessionId id : engine.silent_sessions(duration_of(duration_s))) {
        numbers.push_back(static_cast<std::uint64_t>(id));
    }
    return numbers;
}

std::vector<std::pair<std::uint64_t, std::size_t>> silent_legs(Engine& engine, double duration_s) {
    std::vector<std::pair<std::uint64_t, std::size_t>> legs;
    for (const SilentLeg& silent : engine.silent_legs(duration_of(duration_s))) {
        legs.emplace_back(static_cast<std::uint64_t>(silent.session), index_of(silent.leg));
    }
    return legs;
}

PayloadKinds make_payload_kinds(const std::vector<int>& telephone_events, const std::vector<int>& comfort_noise) {
    const auto checked = [](int payload_type) {
        if (payload_type < 0 || payload_type > 127) throw std::invalid_argument("a payload type is 0 to 127");
        return static_cast<std::uint8_t>(payload_type);
    };
    PayloadKinds kinds;
    for (const int payload_type : telephone_events) kinds.add_telephone_event(checked(payload_type));
    for (const int payload_type : comfort_noise) kinds.add_comfort_noise(checked(payload_type));
    return kinds;
}

void raise_os_error(const std::exception_ptr& thrown, void*) {
    try {
        std::rethrow_exception(thrown);
    } catch (const std::system_error& error) {
        const nb::object arguments = nb::make_tuple(error.code().value(), error.what());
        PyErr_SetObject(PyExc_OSError, arguments.ptr());
    } catch (const std::out_of_range& error) {
        PyErr_SetString(PyExc_KeyError, error.what());
    }
}

void bind_statistics(nb::module_& module) {
    nb::class_<PythonStream>(module, "Stream")
        .def_ro("ssrc", &PythonStream::ssrc)
        .def_ro("payload_type", &PythonStream::payload_type)
        .def_ro("clock_rate", &PythonStream::clock_rate)
        .def_ro("packets", &PythonStream::packets)
        .def_ro("octets", &PythonStream::octets)
        .def_ro("lost", &PythonStream::lost)
        .def_ro("duplicates", &PythonStream::duplicates)
        .def_ro("reordered", &PythonStream::reordered)
        .def_ro("restarts", &PythonStream::restarts)
        .def_ro("jitter_ms", &PythonStream::jitter_ms);
    nb::class_<PythonLeg>(module, "Leg")
        .def_prop_ro("packets", [](const PythonLeg& leg) { return leg.sums.packets; })
        .def_prop_ro("octets", [](const PythonLeg& leg) { return leg.sums.octets; })
        .def_prop_ro("lost", [](const PythonLeg& leg) { return leg.sums.lost; })
        .def_prop_ro("duplicates", [](const PythonLeg& leg) { return leg.sums.duplicates; })
        .def_prop_ro("reordered", [](const PythonLeg& leg) { return leg.sums.reordered; })
        .def_ro("jitter_ms", &PythonLeg::jitter_ms)
        .def_ro("ssrc_changes", &PythonLeg::ssrc_changes)
        .def_prop_ro("rtcp_packets", [](const PythonLeg& leg) { return leg.counters.rtcp_packets; })
        .def_prop_ro("sent", [](const PythonLeg& leg) { return leg.counters.sent; })
        .def_prop_ro("send_errors", [](const PythonLeg& leg) { return leg.counters.send_errors; })
        .def_prop_ro("undeliverable", [](const PythonLeg& leg) { return leg.counters.undeliverable; })
        .def_prop_ro("foreign", [](const PythonLeg& leg) { return leg.counters.foreign; })
        .def_prop_ro("malformed", [](const PythonLeg& leg) { return leg.counters.malformed; })
        .def_ro("announced", &PythonLeg::announced)
        .def_ro("seen_from", &PythonLeg::seen_from)
        .def_ro("last_packet_age_s", &PythonLeg::last_packet_age_s)
        .def_ro("streams", &PythonLeg::streams);
    nb::class_<PythonSession>(module, "Session")
        .def_ro("age_s", &PythonSession::age_s)
        .def_ro("tap_overflow", &PythonSession::tap_overflow)
        .def_ro("legs", &PythonSession::legs);
    nb::class_<Totals>(module, "Totals")
        .def_ro("sessions", &Totals::sessions)
        .def_ro("recordings", &Totals::recordings)
        .def_ro("packets", &Totals::packets)
        .def_ro("octets", &Totals::octets)
        .def_ro("dropped", &Totals::dropped)
        .def_ro("tap_overflow", &Totals::tap_overflow)
        .def_ro("tap_fill_permille", &Totals::tap_fill_permille)
        .def_ro("events_lost", &Totals::events_lost)
        .def_ro("flush_errors", &Totals::flush_errors);
}

void bind_events(nb::module_& module) {
    nb::enum_<Event::Kind>(module, "EventKind", nb::is_arithmetic())
        .value("LATCHED", Event::Kind::kLatched)
        .value("DIGIT", Event::Kind::kDigit)
        .value("RECORDING_CLOSED", Event::Kind::kRecordingClosed)
        .value("RECORDING_FAILED", Event::Kind::kRecordingFailed);
    nb::class_<SideCounts>(module, "SideCounts")
        .def_ro("packets", &SideCounts::packets)
        .def_ro("lost", &SideCounts::lost)
        .def_ro("late", &SideCounts::late)
        .def_ro("duplicates", &SideCounts::duplicates)
        .def_ro("ssrc_changes", &SideCounts::ssrc_changes)
        .def_ro("jitter_ms", &SideCounts::jitter_ms);
    nb::class_<Event>(module, "Event")
        .def_ro("kind", &Event::kind)
        .def_ro("subject", &Event::subject)
        .def_prop_ro("leg", [](const Event& event) { return index_of(event.leg); })
        .def_prop_ro("address", [](const Event& event) { return endpoint_of(event.address); })
        .def_prop_ro("digit", [](const Event& event) { return std::string(event.digit == 0 ? 0 : 1, event.digit); })
        .def_prop_ro("sides", [](const Event& event) { return std::pair(event.sides[0], event.sides[1]); })
        .def_ro("octets", &Event::octets)
        .def_ro("overflow", &Event::overflow)
        .def_ro("error", &Event::error);
}

void bind_sessions(nb::class_<Engine>& cls) {
    cls.def(
        "open_session",
        [](Engine& self, std::uint64_t session, const std::string& a, int a_port, const std::string& b, int b_port,
           int dscp) {
            if (dscp < 0 || dscp > 63) throw std::invalid_argument("a DSCP is 0 to 63");
            const nb::gil_scoped_release unlocked;
            self.open_session(SessionId{session}, local_of(a, a_port), local_of(b, b_port),
                              static_cast<std::uint8_t>(dscp));
        },
        "session"_a, "a_address"_a, "a_rtp_port"_a, "b_address"_a, "b_rtp_port"_a, "dscp"_a);
    cls.def(
        "close_session",
        [](Engine& self, std::uint64_t session) {
            const nb::gil_scoped_release unlocked;
            return describe(self.close_session(SessionId{session}));
        },
        "session"_a);
    cls.def(
        "set_remote",
        [](Engine& self, std::uint64_t session, int leg, const std::optional<Endpoint>& rtp,
           const std::optional<Endpoint>& rtcp, bool rtcp_mux, Latching latching,
           const std::map<int, int>& clock_rates) {
            const nb::gil_scoped_release unlocked;
            self.set_remote(SessionId{session}, leg_of(leg), make_remote(rtp, rtcp, rtcp_mux, latching),
                            make_clock_rates(clock_rates));
        },
        "session"_a, "leg"_a, "rtp"_a.none(), "rtcp"_a.none(), "rtcp_mux"_a, "latching"_a, "clock_rates"_a);
    cls.def(
        "statistics",
        [](Engine& self, std::uint64_t session) {
            const nb::gil_scoped_release unlocked;
            return describe(self.snapshot(SessionId{session}));
        },
        "session"_a);
    cls.def(
        "set_payload_kinds",
        [](Engine& self, std::uint64_t session, int leg, const std::vector<int>& telephone_events,
           const std::vector<int>& comfort_noise) {
            const nb::gil_scoped_release unlocked;
            self.set_payload_kinds(SessionId{session}, leg_of(leg),
                                   make_payload_kinds(telephone_events, comfort_noise));
        },
        "session"_a, "leg"_a, "telephone_events"_a, "comfort_noise"_a);
    cls.def("silent_legs", &silent_legs, "seconds"_a, nb::call_guard<nb::gil_scoped_release>());
    cls.def("silent_sessions", &silent_sessions, "seconds"_a, nb::call_guard<nb::gil_scoped_release>());
    cls.def("totals", &Engine::totals, nb::call_guard<nb::gil_scoped_release>());
}

Secret secret_of(const nb::bytes& bytes) {
    if (bytes.size() != Secret::kSize) throw std::invalid_argument("a key has 32 octets");
    return Secret(
        std::span<const std::uint8_t, Secret::kSize>(static_cast<const std::uint8_t*>(bytes.data()), Secret::kSize));
}

std::chrono::milliseconds milliseconds_of(std::int64_t number) {
    if (number < 0 || number > LookBack::kMax.count()) throw std::invalid_argument("look-back: 0 to 60000 ms");
    return std::chrono::milliseconds(number);
}

void start_recording(Engine& engine, std::uint64_t session, std::uint64_t recording, std::string path,
                     const nb::bytes& head, const nb::bytes& keybox, const std::optional<nb::bytes>& key,
                     const nb::bytes& signing_key, const nb::bytes& meta, std::int64_t created_ns, int caller_leg,
                     std::int64_t pre_record_ms) {
    const RecordingRequest request{
        .session = SessionId{session},
        .recording = RecordingId{recording},
        .path = std::move(path),
        .opening = {.head = octets_of(head),
                    .keybox = octets_of(keybox),
                    .key = key ? std::optional<Secret>(secret_of(*key)) : std::nullopt,
                    .signing_key = secret_of(signing_key)},
        .meta = octets_of(meta),
        .created = std::chrono::sys_time<std::chrono::nanoseconds>(std::chrono::nanoseconds(created_ns)),
        .pre_record = milliseconds_of(pre_record_ms),
        .caller = leg_of(caller_leg)};
    const nb::gil_scoped_release unlocked;
    engine.start_recording(request);
}

void bind_recordings(nb::class_<Engine>& cls) {
    cls.def(
        "set_look_back",
        [](Engine& self, std::uint64_t session, std::int64_t milliseconds) {
            const nb::gil_scoped_release unlocked;
            self.set_look_back(SessionId{session}, milliseconds_of(milliseconds));
        },
        "session"_a, "milliseconds"_a);
    cls.def(
        "recording_start_ns",
        [](Engine& self, std::uint64_t session, std::int64_t pre_record_ms) -> std::int64_t {
            const nb::gil_scoped_release unlocked;
            return self.recording_start(SessionId{session}, milliseconds_of(pre_record_ms)).time_since_epoch().count();
        },
        "session"_a, "pre_record_ms"_a);
    cls.def("start_recording", &start_recording, "session"_a, "recording"_a, "path"_a, "head"_a, "keybox"_a,
            "key"_a.none(), "signing_key"_a, "meta"_a, "created_ns"_a, "caller_leg"_a, "pre_record_ms"_a);
    cls.def(
        "pause_recording",
        [](Engine& self, std::uint64_t recording, const nb::bytes& event) {
            auto octets = octets_of(event);
            const nb::gil_scoped_release unlocked;
            self.pause_recording(RecordingId{recording}, std::move(octets));
        },
        "recording"_a, "event"_a);
    cls.def(
        "resume_recording",
        [](Engine& self, std::uint64_t recording, const nb::bytes& event) {
            auto octets = octets_of(event);
            const nb::gil_scoped_release unlocked;
            self.resume_recording(RecordingId{recording}, std::move(octets));
        },
        "recording"_a, "event"_a);
    cls.def(
        "write_event",
        [](Engine& self, std::uint64_t recording, int side, const nb::bytes& event) {
            auto octets = octets_of(event);
            const nb::gil_scoped_release unlocked;
            self.write_event(RecordingId{recording}, side_of(side), std::move(octets));
        },
        "recording"_a, "side"_a, "event"_a);
    cls.def(
        "finish_recording",
        [](Engine& self, std::uint64_t recording, std::string reason) {
            const nb::gil_scoped_release unlocked;
            self.finish_recording(RecordingId{recording}, std::move(reason));
        },
        "recording"_a, "reason"_a);
}

}  // namespace

NB_MODULE(_engine, module) {
    module.doc() = "Packet engine of the media server";
    nb::register_exception_translator(raise_os_error);
    nb::enum_<Latching>(module, "Latching", nb::is_arithmetic())
        .value("SYMMETRIC", Latching::kSymmetric)
        .value("ASYMMETRIC", Latching::kAsymmetric)
        .value("STRICT", Latching::kStrict);
    bind_statistics(module);
    bind_events(module);
    nb::class_<Engine> cls(module, "Engine");
    cls.def(nb::init<std::size_t, std::size_t>(), "workers"_a, "tap_ring_bytes"_a);
    cls.def("fileno", &Engine::events_fd);
    cls.def("poll_events", &Engine::poll, nb::call_guard<nb::gil_scoped_release>());
    cls.def("close", &Engine::close, nb::call_guard<nb::gil_scoped_release>());
    bind_sessions(cls);
    bind_recordings(cls);
}

}  // namespace engine
