"""RFC 4475 section 3.1.1: strange, but right."""

# ruff: noqa: E501 - lines as long as in the RFC

from __future__ import annotations

from tests.protocol.sip.rfc4475.case import Case, Parsed, sdp, wire

LONG = "long" * 20
VALID = (
    Case(
        "3.1.1.1",
        "wsinv: white space and folding everywhere",
        wire(r"""
INVITE sip:vivekg@chair-dnrc.example.com;unknownparam SIP/2.0
TO :
 sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n
from   : "J Rosenberg \\\""       <sip:jdrosen@example.com>
  ;
  tag = 98asjd8
MaX-fOrWaRdS: 0068
Call-ID: wsinv.ndaksdj@192.0.2.1
Content-Length   : 150
cseq: 0009
  INVITE
Via  : SIP  /   2.0
 /UDP
    192.0.2.2;branch=390skdjuw
s :
NewFangledHeader:   newfangled value
 continued newfangled value
UnknownHeaderWithUnusualValue: ;;,,;;,;
Content-Type: application/sdp
Route:
 <sip:services.example.com;lr;unknownwith=value;unknown-no-value>
v:  SIP  / 2.0  / TCP     spindle.example.com   ;
  branch  =   z9hG4bK9ikj8  ,
 SIP  /    2.0   / UDP  192.168.255.111   ; branch=
 z9hG4bK30239
m:"Quoted string \"\"" <sip:jdrosen@example.com> ; newparam =
      newvalue ;
  secondparam ; q = 0.33

v=0
o=mhandley 29739 7272939 IN IP4 192.0.2.3
s=-
c=IN IP4 192.0.2.4
t=0 0
m=audio 49217 RTP/AVP 0 12
m=video 3227 RTP/AVP 31
a=rtpmap:31 LPC
"""),
        Parsed(
            {
                "method": "INVITE",
                "uri.parameters.unknownparam": None,
                "to.uri.user": "vivekg",
                "to.tag": "1918181833n",
                "to.uri.parameters.length": 0,
                "from_.display_name": 'J Rosenberg \\"',
                "from_.tag": "98asjd8",
                "max_forwards": 68,
                "cseq.number": 9,
                "via.0.host": "192.0.2.2",
                "via.0.branch": "390skdjuw",
                "via.1.protocol": "TCP",
                "via.1.host": "spindle.example.com",
                "via.2.host": "192.168.255.111",
                "via.2.branch": "z9hG4bK30239",
                "headers.Subject": "",
                "headers.NewFangledHeader": "newfangled value continued newfangled value",
                "headers.UnknownHeaderWithUnusualValue": ";;,,;;,;",
                "route.0.uri.parameters.unknownwith": "value",
                "route.0.uri.parameters.unknown-no-value": None,
                "contacts.0.display_name": 'Quoted string ""',
                "contacts.0.parameters.newparam": "newvalue",
                "contacts.0.parameters.secondparam": None,
                "contacts.0.parameters.q": "0.33",
                "body.length": 150,
            }
        ),
    ),
    Case(
        "3.1.1.2",
        "intmeth: every character that a token may have",
        wire(r"""
!interesting-Method0123456789_*+`.%indeed'~ sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com SIP/2.0
Via: SIP/2.0/TCP host1.example.com;branch=z9hG4bK-.!%66*_+`'~
To: "BEL:\BEL NUL:\NUL DEL:\DEL" <sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*@example.com>
From: token1~` token2'+_ token3*%!.- <sip:mundane@example.com>;fromParam''~+*_!.-%="работающий";tag=_token~1'+`*%!-.
Call-ID: intmeth.word%ZK-!.*_+'@word`~)(><:\/"][?}{
CSeq: 139122385 !interesting-Method0123456789_*+`.%indeed'~
Max-Forwards: 255
extensionHeader-!.%*+_`'~:大停電
Content-Length: 0

""")
        .replace(b"\\BEL", b"\\\x07")
        .replace(b"\\NUL", b"\\\x00")
        .replace(b"\\DEL", b"\\\x7f")
        .replace("大停電".encode(), b"\xef\xbb\xbf" + "大停電".encode()),
        Parsed(
            {
                "method": "!interesting-Method0123456789_*+`.%indeed'~",
                "uri.user": "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*",
                "uri.password": "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)",
                "uri.host": "example.com",
                "top_via.branch": "z9hG4bK-.!%66*_+`'~",
                "to.display_name": "BEL:\x07 NUL:\x00 DEL:\x7f",
                "from_.display_name": "token1~` token2'+_ token3*%!.-",
                "from_.parameters.fromParam''~+*_!.-%": "работающий",
                "from_.tag": "_token~1'+`*%!-.",
                "call_id": "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{",
                "max_forwards": 255,
                "headers.extensionHeader-!.%*+_`'~": "\ufeff大停電",
            },
            above="501: the method is unknown",
        ),
    ),
    Case(
        "3.1.1.3",
        "esc01: escapes in URIs",
        wire(f"""
INVITE sip:sips%3Auser%40example.com@example.net SIP/2.0
To: sip:%75se%72@example.com
From: <sip:I%20have%20spaces@example.net>;tag=938
Max-Forwards: 87
i: esc01.239409asdfakjkn23onasd0-3234
CSeq: 234234 INVITE
Via: SIP/2.0/UDP host5.example.net;branch=z9hG4bKkdjuw
C: application/sdp
Contact:
  <sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31>
Content-Length: 150

{sdp("192.0.2.1")}"""),
        Parsed(
            {
                "uri.user": "sips%3Auser%40example.com",
                "uri.user_text": "sips:user@example.com",
                "uri.host": "example.net",
                "to.uri.user_text": "user",
                "to.uri.address_of_record": "sip:user@example.com",
                "from_.uri.user_text": "I have spaces",
                "contacts.0.uri.user_text": "caller",
                "contacts.0.uri.parameters.%6C%72": None,
                "contacts.0.uri.parameters.n%61me": "v%61lue%25%34%31",
                "body.length": 150,
            }
        ),
    ),
    Case(
        "3.1.1.4",
        "escnull: escaped NUL in URIs",
        wire("""
REGISTER sip:example.com SIP/2.0
To: sip:null-%00-null@example.com
From: sip:null-%00-null@example.com;tag=839923423
Max-Forwards: 70
Call-ID: escnull.39203ndfvkjdasfkq3w4otrq0adsfdfnavd
CSeq: 14398234 REGISTER
Via: SIP/2.0/UDP host5.example.com;branch=z9hG4bKkdjuw
Contact: <sip:%00@host5.example.com>
Contact: <sip:%00%00@host5.example.com>
L:0

"""),
        Parsed(
            {
                "to.uri.user_text": "null-\x00-null",
                "contacts.length": 2,
                "contacts.0.uri.user_text": "\x00",
                "contacts.1.uri.user_text": "\x00\x00",
            }
        ),
    ),
    Case(
        "3.1.1.5",
        "esc02: a percent sign that is no escape",
        wire("""
RE%47IST%45R sip:registrar.example.com SIP/2.0
To: "%Z%45" <sip:resource@example.com>
From: "%Z%45" <sip:resource@example.com>;tag=f232jadfj23
Call-ID: esc02.asdfnqwo34rq23i34jrjasdcnl23nrlknsdf
Via: SIP/2.0/TCP host.example.com;branch=z9hG4bK209%fzsnel234
CSeq: 29344 RE%47IST%45R
Max-Forwards: 70
Contact: <sip:alias1@host1.example.com>
C%6Fntact: <sip:alias2@host2.example.com>
Contact: <sip:alias3@host3.example.com>
l: 0

"""),
        Parsed(
            {
                "method": "RE%47IST%45R",
                "to.display_name": "%Z%45",
                "top_via.branch": "z9hG4bK209%fzsnel234",
                "contacts.length": 2,
                "contacts.1.uri.user": "alias3",
                "headers.C%6Fntact": "<sip:alias2@host2.example.com>",
            },
            above="501: the method is unknown",
        ),
    ),
    Case(
        "3.1.1.6",
        "lwsdisp: no white space between display name and bracket",
        wire("""
OPTIONS sip:user@example.com SIP/2.0
To: sip:user@example.com
From: caller<sip:caller@example.com>;tag=323
Max-Forwards: 70
Call-ID: lwsdisp.1234abcd@funky.example.com
CSeq: 60 OPTIONS
Via: SIP/2.0/UDP funky.example.com;branch=z9hG4bKkdjuw
l: 0

"""),
        Parsed({"from_.display_name": "caller", "from_.uri.user": "caller", "from_.tag": "323"}),
    ),
    Case(
        "3.1.1.7",
        "longreq: long values of everything",
        wire(f"""
INVITE sip:user@example.com SIP/2.0
To: "I have a user name of {"extreme" * 10} proportion"<sip:user@example.com:6000;unknownparam1=very{LONG}value;longparam{"name" * 25}=shortvalue;very{LONG}ParameterNameWithNoValue>
F: sip:{"amazinglylongcallername" * 5}@example.net;tag=12{"982" * 50}424;unknownheaderparam{"name" * 20}=unknowheaderparam{"value" * 15};unknownValueless{"paramname" * 10}
Call-ID: longreq.one{"really" * 20}longcallid
CSeq: 3882340 INVITE
Unknown-{"Long" * 20}-Name: unknown-{LONG}-value; unknown-{LONG}-parameter-name = unknown-{LONG}-parameter-value
Via: SIP/2.0/TCP sip33.example.com
v: SIP/2.0/TCP sip32.example.com
V: SIP/2.0/TCP sip31.example.com
Via: SIP/2.0/TCP sip30.example.com
ViA: SIP/2.0/TCP sip29.example.com
VIa: SIP/2.0/TCP sip28.example.com
VIA: SIP/2.0/TCP sip27.example.com
via: SIP/2.0/TCP sip26.example.com
viA: SIP/2.0/TCP sip25.example.com
vIa: SIP/2.0/TCP sip24.example.com
vIA: SIP/2.0/TCP sip23.example.com
V :  SIP/2.0/TCP sip22.example.com
v :  SIP/2.0/TCP sip21.example.com
V  : SIP/2.0/TCP sip20.example.com
v  : SIP/2.0/TCP sip19.example.com
Via : SIP/2.0/TCP sip18.example.com
Via  : SIP/2.0/TCP sip17.example.com
Via: SIP/2.0/TCP sip16.example.com
Via: SIP/2.0/TCP sip15.example.com
Via: SIP/2.0/TCP sip14.example.com
Via: SIP/2.0/TCP sip13.example.com
Via: SIP/2.0/TCP sip12.example.com
Via: SIP/2.0/TCP sip11.example.com
Via: SIP/2.0/TCP sip10.example.com
Via: SIP/2.0/TCP sip9.example.com
Via: SIP/2.0/TCP sip8.example.com
Via: SIP/2.0/TCP sip7.example.com
Via: SIP/2.0/TCP sip6.example.com
Via: SIP/2.0/TCP sip5.example.com
Via: SIP/2.0/TCP sip4.example.com
Via: SIP/2.0/TCP sip3.example.com
Via: SIP/2.0/TCP sip2.example.com
Via: SIP/2.0/TCP sip1.example.com
Via: SIP/2.0/TCP host.example.com;received=192.0.2.5;branch=very{LONG}branchvalue
Max-Forwards: 70
Contact: <sip:{"amazinglylongcallername" * 5}@host5.example.net>
Content-Type: application/sdp
l: 150

{sdp("192.0.2.1")}"""),
        Parsed(
            {
                "via.length": 34,
                "via.0.host": "sip33.example.com",
                "via.33.received": "192.0.2.5",
                "to.uri.port": 6000,
                "contacts.0.uri.user": "amazinglylongcallername" * 5,
                "from_.tag": "12" + "982" * 50 + "424",
                "body.length": 150,
            }
        ),
    ),
    Case(
        "3.1.1.8",
        "dblreq: a second request after the first in one datagram",
        wire(f"""
REGISTER sip:example.com SIP/2.0
To: sip:j.user@example.com
From: sip:j.user@example.com;tag=43251j3j324
Max-Forwards: 8
I: dblreq.0ha0isndaksdj99sdfafnl3lk233412
Contact: sip:j.user@host.example.com
CSeq: 8 REGISTER
Via: SIP/2.0/UDP 192.0.2.125;branch=z9hG4bKkdjuw23492
Content-Length: 0


INVITE sip:joe@example.com SIP/2.0
t: sip:joe@example.com
From: sip:caller@example.net;tag=141334
Max-Forwards: 8
Call-ID: dblreq.0ha0isnda977644900765@192.0.2.15
CSeq: 8 INVITE
Via: SIP/2.0/UDP 192.0.2.15;branch=z9hG4bKkdjuw380234
Content-Type: application/sdp
Content-Length: 150

{sdp("192.0.2.15")}"""),
        Parsed({"method": "REGISTER", "body.length": 0, "contacts.0.uri.host": "host.example.com"}),
    ),
    Case(
        "3.1.1.9",
        "semiuri: a semicolon in the user part",
        wire("""
OPTIONS sip:user;par=u%40example.net@example.com SIP/2.0
To: sip:j_user@example.com
From: sip:caller@example.org;tag=33242
Max-Forwards: 3
Call-ID: semiuri.0ha0isndaksdj
CSeq: 8 OPTIONS
Accept: application/sdp, application/pkcs7-mime,
        multipart/mixed, multipart/signed,
        message/sip, message/sipfrag
Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKkdjuw
l: 0

"""),
        Parsed(
            {
                "uri.user": "user;par=u%40example.net",
                "uri.user_text": "user;par=u@example.net",
                "uri.host": "example.com",
                "uri.parameters.length": 0,
            }
        ),
    ),
    Case(
        "3.1.1.10",
        "transports: Vias of known and unknown transports",
        wire("""
OPTIONS sip:user@example.com SIP/2.0
To: sip:user@example.com
From: <sip:caller@example.com>;tag=323
Max-Forwards: 70
Call-ID:  transports.kijh4akdnaqjkwendsasfdj
Accept: application/sdp
CSeq: 60 OPTIONS
Via: SIP/2.0/UDP t1.example.com;branch=z9hG4bKkdjuw
Via: SIP/2.0/SCTP t2.example.com;branch=z9hG4bKklasjdhf
Via: SIP/2.0/TLS t3.example.com;branch=z9hG4bK2980unddj
Via: SIP/2.0/UNKNOWN t4.example.com;branch=z9hG4bKasd0f3en
Via: SIP/2.0/TCP t5.example.com;branch=z9hG4bK0a9idfnee
l: 0

"""),
        Parsed({"via.length": 5, "via.1.protocol": "SCTP", "via.3.protocol": "UNKNOWN", "via.4.protocol": "TCP"}),
    ),
    Case(
        "3.1.1.11",
        "mpart01: a body of several parts with NUL bytes",
        wire("""
MESSAGE sip:kumiko@example.org SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK-d87543-4dade06d0bdb11ee-1--d87543-;rport
Max-Forwards: 70
Route: <sip:127.0.0.1:5080>
Identity: r5mwreLuyDRYBi/0TiPwEsY3rEVsk/G2WxhgTV1PF7hHuLIK0YWVKZhKv9Mj8UeXqkMVbnVq37CD+813gvYjcBUaZngQmXc9WNZSDNGCzA+fWl9MEUHWIZo1CeJebdY/XlgKeTa0Olvq0rt70Q5jiSfbqMJmQFteeivUhkMWYUA=
Contact: <sip:fluffy@127.0.0.1:5070>
To: <sip:kumiko@example.org>
From: <sip:fluffy@example.com>;tag=2fb0dcc9
Call-ID: 3d9485ad0c49859b@Zmx1ZmZ5LW1hYy0xNi5sb2NhbA..
CSeq: 1 MESSAGE
Content-Transfer-Encoding: binary
Content-Type: multipart/mixed;boundary=7a9cbec02ceef655
Date: Sat, 15 Oct 2005 04:44:56 GMT
User-Agent: SIPimp.org/0.2.5 (curses)
Content-Length: 553

--7a9cbec02ceef655
Content-Type: text/plain
Content-Transfer-Encoding: binary

Hello
--7a9cbec02ceef655
Content-Type: application/octet-stream
Content-Transfer-Encoding: binary

""")
        + bytes.fromhex(
            "3082015206092A864886F70D010702A08201433082013F02"
            "01013109300706052B0E03021A300B06092A864886F70D010701318201203082"
            "011C020101307C3070310B300906035504061302555331133011060355040813"
            "0A43616C69666F726E69613111300F0603550407130853616E204A6F7365310E"
            "300C060355040A1305736970697431293027060355040B132053697069742054"
            "65737420436572746966696361746520417574686F7269747902080195007102"
            "330113300706052B0E03021A300D06092A864886F70D01010105000481808EF4"
            "66F948F0522DD2E5978E9D95AAE9F2FE15A06659716292E8DA2AA8D8350A68CE"
            "FFAE3CBD2BFF1675DDD5648E593DD64728F26220F7E941749E330D9A15EDABDB"
            "93D10C42102E7B7289D29CC0C9AE2EFBC7C0CFF9172F3B027E4FC027E1546DE4"
            "B6AA3ABB3E66CCCB5DD6C64B8383149CB8E6FF182D944FE57B65BC99D005"
        )
        + b"\r\n--7a9cbec02ceef655--\r\n",
        Parsed(
            {
                "content_type.essence": "multipart/mixed",
                "content_type.parameters.boundary": "7a9cbec02ceef655",
                "top_via.wants_rport": True,
                "body.length": 553,
            },
            above="a body of several parts is not understood: 415",
        ),
    ),
    Case(
        "3.1.1.12",
        "unreason: a reason phrase in UTF-8",
        wire(f"""
SIP/2.0 200 = 2**3 * 5**2 но сто девяносто девять - простое
Via: SIP/2.0/UDP 192.0.2.198;branch=z9hG4bK1324923
Call-ID: unreason.1234ksdfak3j2erwedfsASdf
CSeq: 35 INVITE
From: sip:user@example.com;tag=11141343
To: sip:user@example.edu;tag=2229
Content-Length: 154
Content-Type: application/sdp
Contact: <sip:user@host198.example.com>

{sdp("192.0.2.198")}"""),
        Parsed({"status": 200, "reason": "= 2**3 * 5**2 но сто девяносто девять - простое", "body.length": 154}),
    ),
    Case(
        "3.1.1.13",
        "noreason: an empty reason phrase",
        wire("""
SIP/2.0 100\x20
Via: SIP/2.0/UDP 192.0.2.105;branch=z9hG4bK2398ndaoe
Call-ID: noreason.asndj203insdf99223ndf
CSeq: 35 INVITE
From: <sip:user@example.com>;tag=39ansfi3
To: <sip:user@example.edu>;tag=902jndnke3
Content-Length: 0
Contact: <sip:user@host105.example.com>

"""),
        Parsed({"status": 100, "reason": ""}),
    ),
)
