"""Sends and counts forged Ethernet frames, for tests of networks.

They go through the interface that PORT names; by default eth0.

frames.py send MAC ADDRESS ADDRESS6 OTHER_MAC OTHER_ADDRESS OTHER_ADDRESS6   sends one frame of each kind, twice
frames.py hear            prints the kinds of those that have arrived when its standard input ends
frames.py flood COUNT                                                        sends frames from COUNT senders
frames.py claim OWN_MAC VICTIM_MAC VICTIM GATEWAY VICTIM6 GATEWAY6           tells the victim that it is the gateway
"""
import ipaddress, os, select, socket, struct, sys, time

ARP, IP, IP6, VLAN, ALL = 0x0806, 0x0800, 0x86DD, 0x8100, b"\xff" * 6
MARK = b"forged frame: "


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def ip(text):
    return ipaddress.ip_address(text).packed


def ether(source, kind, body, to=ALL):
    return to + source + struct.pack("!H", kind) + body


def arp(operation, sender, address, target, asked):
    return struct.pack("!HHBBH", 1, IP, 6, 4, operation) + sender + address + target + asked


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip4(source, name):
    body = struct.pack("!HHHH", 9, 9, 8 + len(MARK + name), 0) + MARK + name
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0, 64, 17, 0) + source + b"\xff" * 4
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body


def ip6(source, to, message, hidden=False):
    pseudo = source + to + struct.pack("!IHBB", len(message), 0, 0, 58)
    message = message[:2] + struct.pack("!H", checksum(pseudo + message)) + message[4:]
    if hidden:
        message = struct.pack("!BB", 58, 0) + b"\1\4\0\0\0\0" + message
    return struct.pack("!IHBB", 0x60000000, len(message), 60 if hidden else 58, 255) + source + to + message


def advert(target, sender):
    return struct.pack("!BBHI", 136, 0, 0, 0x20000000) + target + b"\2\1" + sender


def solicit(target):
    return struct.pack("!BBHI", 135, 0, 0, 0) + target


def router(sender):
    return struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + b"\1\1" + sender


def link_local(sender):
    return b"\xfe\x80" + b"\0" * 6 + bytes([sender[0] ^ 2]) + sender[1:3] + b"\xff\xfe" + sender[3:]


NODES, NODES_MAC = ip("ff02::1"), mac("33:33:00:00:00:01")


def kinds(own, address, address6, other, address2, address26):
    """Frames by name; those that are true begin with "true". The name is in each, behind all that is read."""
    def padded(name, frame):
        return frame if MARK in frame else frame + MARK + name.encode()

    def six(name, source, message, sender=own, hidden=False):
        # What is behind a packet of IPv6 is cut off on its way: the name is an option that nobody knows.
        words = MARK + name.encode()
        words += b"\0" * (-(len(words) + 2) % 8)
        message += bytes([253, (len(words) + 2) // 8]) + words
        frames[name] = ether(sender, IP6, ip6(source, NODES, message, hidden), NODES_MAC)

    zero, local = b"\0" * 16, link_local(own)
    frames = {
        "true arp": ether(own, ARP, arp(1, own, address, b"\0" * 6, address2)),
        "true ip": ether(own, IP, ip4(address, b"true ip")),
        "arp from another hardware address": ether(other, ARP, arp(1, own, address, b"\0" * 6, address2)),
        "arp for another address": ether(own, ARP, arp(2, own, address2, ALL, address)),
        "arp with another hardware address": ether(own, ARP, arp(2, other, address, ALL, address)),
        "arp, gratuitous, for another address": ether(own, ARP, arp(1, own, address2, b"\0" * 6, address2)),
        "arp in a vlan": ether(own, VLAN, struct.pack("!HH", 5, ARP) + arp(2, own, address2, ALL, address)),
        "arp in a vlan without a number": ether(own, VLAN, struct.pack("!HH", 0, ARP) + arp(2, own, address2, ALL, address)),
        "rarp": ether(own, 0x8035, arp(3, own, address, own, address)),
        "ip from another hardware address": ether(other, IP, ip4(address, b"ip from another hardware address")),
        "ip from another address": ether(own, IP, ip4(address2, b"ip from another address")),
        "ip from nowhere": ether(own, IP, ip4(b"\0" * 4, b"ip from nowhere")),
        "ip from outside": ether(own, IP, ip4(ip("192.0.2.9"), b"ip from outside")),
        "anything else": ether(own, 0x88B5, b"\0" * 40),
        "spanning tree": ether(own, 60, b"\x42\x42\3" + b"\0" * 57, mac("01:80:c2:00:00:00")),
        "length": ether(own, 60, b"\xaa\xaa\3" + b"\0" * 57),
    }
    six("true advert", address6, advert(address6, own))
    six("true advert of the link-local address", local, advert(local, own))
    six("true check for a duplicate", zero, solicit(local))
    six("advert of another", address6, advert(address26, own))
    six("advert of another behind options", address6, advert(address26, own), hidden=True)
    six("advert from another", address26, advert(address26, own))
    six("advert from another hardware address", address6, advert(address6, own), other)
    six("check of another", zero, solicit(address26))
    six("router", local, router(own))
    six("router behind options", local, router(own), hidden=True)
    six("redirect", local, struct.pack("!BBHI", 137, 0, 0, 0) + local + address26)
    return {name: padded(name, frame) for name, frame in frames.items()}


def main(what, *words):
    packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    packets.bind((os.environ.get("PORT", "eth0"), 3 if what == "hear" else 0))
    if what == "hear":
        print("ready", flush=True)
        # Until standard input ends: all has been sent by then, and lies in the socket's queue.
        heard, packets_only, end = set(), False, time.time() + 300
        while time.time() < end:
            ready = select.select([packets] if packets_only else [packets, sys.stdin], [], [], 0.5 if packets_only else 10)[0]
            if sys.stdin in ready:
                packets_only, end = True, time.time() + 5
            if packets_only and not ready:
                break
            if packets not in ready:
                continue
            frame = packets.recv(2000)
            if MARK in frame:
                heard.add(frame.split(MARK)[-1].rstrip(b"\0").decode())
        print("\n".join(sorted(heard)))
    elif what == "send":
        values = [mac(w) if len(w) == 17 and w.count(":") == 5 else ip(w) for w in words]
        for _ in range(2):
            for frame in kinds(*values).values():
                packets.send(frame)
            time.sleep(0.1)
    elif what == "flood":
        for i in range(int(words[0])):
            sender = b"\x02\xee" + os.urandom(4)
            packets.send(ether(sender, 0x88B5, b"\0" * 46))
            packets.send(ether(sender, 46, b"\xaa\xaa\3" + b"\0" * 43, mac("01:80:c2:00:00:0e")))
    elif what == "claim":
        own, victim_mac, victim, gateway, victim6, gateway6 = (
            mac(w) if len(w) == 17 and w.count(":") == 5 else ip(w) for w in words
        )
        for hidden in (False, True):
            packets.send(ether(own, ARP, arp(2, own, gateway, victim_mac, victim), victim_mac))
            packets.send(ether(own, IP6, ip6(gateway6, victim6, advert(gateway6, own), hidden), victim_mac))
            packets.send(ether(own, IP6, ip6(link_local(own), victim6, advert(gateway6, own), hidden), victim_mac))


main(*sys.argv[1:])
