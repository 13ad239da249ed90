"""The process inside ``tests.kit.pjsip``: PJSIP with a null sound device, told what to do by JSON lines on its input.

One object a line in: ``{"do": "dial", "uri": ...}``; one a line out: ``{"event": "established"}``. PJSIP does not like
to be ended and begun again within one process, nor its callbacks on foreign threads: one process a phone, one thread.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from typing import Any

import pjsua2 as pj

# PJSIP prints to standard output before its log is set up: the lines for the parent go to a descriptor of their own.
_PARENT = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)


def say(event: str, **details: Any) -> None:
    print(json.dumps({"event": event, **details}), file=_PARENT, flush=True)


class PhoneCall(pj.Call):  # type: ignore[misc]
    def __init__(self, phone: PhoneAccount, identity: int = pj.PJSUA_INVALID_ID) -> None:
        super().__init__(phone, identity)
        self.phone = phone

    def onCallState(self, _: Any) -> None:  # noqa: N802 - PJSIP's name
        info = self.getInfo()
        if info.state == pj.PJSIP_INV_STATE_CONFIRMED:
            say("established")
        elif info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
            say("cleared", status=info.lastStatusCode, reason=info.lastReason)
            self.phone.call = None

    def onCallMediaState(self, _: Any) -> None:  # noqa: N802
        info = self.getInfo()  # kept: its media live only as long as it does
        for index, media in enumerate(info.media):
            if media.type == pj.PJMEDIA_TYPE_AUDIO and media.status == pj.PJSUA_CALL_MEDIA_ACTIVE:
                audio = self.getAudioMedia(index)
                self.phone.mouth.startTransmit(audio)
                audio.startTransmit(self.phone.ear)


class PhoneAccount(pj.Account):  # type: ignore[misc]
    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__()
        self.call: PhoneCall | None = None
        self.mouth = pj.AudioMediaPlayer()
        self.mouth.createPlayer(settings["spoken"], pj.PJMEDIA_FILE_NO_LOOP)
        self.ear = pj.AudioMediaRecorder()
        self.ear.createRecorder(settings["heard"])

    def onRegState(self, parameter: Any) -> None:  # noqa: N802
        say("registered" if parameter.code == 200 and parameter.expiration else "unregistered", status=parameter.code)

    def onIncomingCall(self, parameter: Any) -> None:  # noqa: N802
        self.call = PhoneCall(self, parameter.callId)
        self._reply(180)
        say("rings")

    def do(self, command: dict[str, Any]) -> None:
        match command["do"]:
            case "dial":
                self.call = PhoneCall(self)
                self.call.makeCall(command["uri"], pj.CallOpParam(True))
            case "answer":
                self._reply(200)
            case "hold" if self.call:
                self.call.setHold(pj.CallOpParam(True))
            case "resume" if self.call:
                parameter = pj.CallOpParam(True)
                parameter.opt.flag = pj.PJSUA_CALL_UNHOLD
                self.call.reinvite(parameter)
            case "press" if self.call:
                parameter = pj.CallSendDtmfParam()
                parameter.digits = command["digits"]
                info = command["by"] == "info"
                parameter.method = pj.PJSUA_DTMF_METHOD_SIP_INFO if info else pj.PJSUA_DTMF_METHOD_RFC2833
                self.call.sendDtmf(parameter)
            case "hang_up" if self.call:
                self.call.hangup(pj.CallOpParam())
            case other:
                say("refused", what=other)

    def _reply(self, status: int) -> None:
        if self.call:
            parameter = pj.CallOpParam()
            parameter.statusCode = status
            self.call.answer(parameter)


def endpoint(settings: dict[str, Any]) -> pj.Endpoint:
    config = pj.EpConfig()
    config.uaConfig.threadCnt = 0
    config.uaConfig.mainThreadOnly = True
    config.logConfig.level = 5
    config.logConfig.consoleLevel = 0
    config.logConfig.filename = settings["log"]
    media = config.medConfig
    media.clockRate = media.sndClockRate = 8000
    media.audioFramePtime = 20
    media.noVad = True
    media.ecTailLen = 0  # its jitter buffer stays as it is: a deeper one drops audio until it has its length
    made = pj.Endpoint()
    made.libCreate()
    made.libInit(config)
    transport = pj.TransportConfig()
    transport.port = settings["listen"]
    transport.boundAddress = settings["address"]
    if settings["authority"]:
        transport.tlsConfig.CaListFile = settings["authority"]
        transport.tlsConfig.verifyServer = True
    kinds = {"udp": pj.PJSIP_TRANSPORT_UDP, "tcp": pj.PJSIP_TRANSPORT_TCP, "tls": pj.PJSIP_TRANSPORT_TLS}
    made.transportCreate(kinds[settings["transport"]], transport)
    made.libStart()
    made.audDevManager().setNullDev()
    for codec in made.codecEnum2():
        made.codecSetPriority(codec.codecId, _priority(codec.codecId, settings["codecs"]))
    return made


def _priority(codec: str, wanted: list[str]) -> int:
    """PJSIP's names have rate and channels (``PCMU/8000/1``), those of the account may."""
    places = [place for place, name in enumerate(wanted) if (codec + "/").startswith(name + "/")]
    return 200 - places[0] if places else 0


def account_config(settings: dict[str, Any]) -> pj.AccountConfig:
    config = pj.AccountConfig()
    config.idUri = settings["identity"]
    config.mediaConfig.transportConfig.port = settings["rtp_first"]
    config.mediaConfig.transportConfig.portRange = 20
    config.mediaConfig.transportConfig.boundAddress = settings["address"]
    if settings["password"]:
        config.regConfig.registrarUri = settings["registrar"]
        config.regConfig.timeoutSec = 60
        config.sipConfig.authCreds.append(pj.AuthCredInfo("digest", "*", settings["user"], 0, settings["password"]))
    return config


def main() -> None:
    settings = json.loads(sys.stdin.readline())
    commands: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            commands.put(json.loads(line))
        commands.put({"do": "quit"})

    made = endpoint(settings)
    account = PhoneAccount(settings)
    account.create(account_config(settings))
    threading.Thread(target=read, daemon=True).start()
    say("ready")
    while True:
        made.libHandleEvents(10)
        while not commands.empty():
            command = commands.get()
            if command["do"] == "quit":
                # Deleting the recorder completes its file; the account unregisters when the library ends.
                account.mouth = account.ear = None
                account.shutdown()
                made.libDestroy()
                return
            try:
                account.do(command)
            except pj.Error as fault:
                say("refused", what=command["do"], why=fault.info())


if __name__ == "__main__":
    main()
