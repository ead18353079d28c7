"""An exchange with none of our code in it: it writes down every byte that reaches it. A program.

    python recording_venue.py DATA_DIR LOG CASH

It speaks the protocol of the paper exchange by its description alone, fills every third order not
at all and the others whole, and is asked for the book as any venue is. On a second port it takes
marks, one a line: a mark is written down after everything that lies in the executor's socket by
then, so that what stands behind it in the log was sent after the mark was asked for.

Every line of the log is a JSON array: [ns of CLOCK_BOOTTIME, "line" or "mark", what came].
"""

import contextlib
import json
import os
import selectors
import socket
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any


class Venue:
    """One account, kept in plain dictionaries."""

    def __init__(self, data_dir: Path, log: Path, cash: str) -> None:
        self.selector = selectors.DefaultSelector()
        self.log = log.open("a", buffering=1)
        self.cash = Decimal(cash)
        self.positions: dict[str, Decimal] = {}
        self.statuses: dict[str, tuple[str, str]] = {}
        self.fills: list[dict[str, Any]] = []
        self.orders = 0
        self.executor: socket.socket | None = None
        self.rest = b""
        self.doors = {"executor": listener(), "marks": listener()}
        for name, door in self.doors.items():
            self.selector.register(door, selectors.EVENT_READ, name)
        ports = {name: door.getsockname()[1] for name, door in self.doors.items()}
        address = {"host": "127.0.0.1", "port": ports["executor"], "token": "t"}
        write(data_dir / "run" / "venue.json", {**address, "marks": ports["marks"]})

    def run(self) -> None:
        while True:
            for key, _ in self.selector.select():
                if key.data in self.doors:
                    self.open(key.data)
                elif key.data == "mark":
                    self.mark(key.fileobj)
                else:
                    self.take()

    def open(self, name: str) -> None:
        found, _ = self.doors[name].accept()
        if name == "marks":
            self.selector.register(found, selectors.EVENT_READ, "mark")
            return
        self.hang_up()
        self.executor, self.rest = found, b""
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.selector.register(found, selectors.EVENT_READ, "executor's own")

    def mark(self, asker: Any) -> None:
        name = asker.recv(1_024)
        if not name:
            self.selector.unregister(asker)
            asker.close()
            return
        while self.take():
            pass
        self.write_down("mark", name.decode().strip())
        asker.sendall(b"ok\n")

    def take(self) -> bool:
        """Read what is there; return whether anything was."""
        if self.executor is None:
            return False
        try:
            data = self.executor.recv(1 << 20, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self.hang_up()
            return False
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            self.write_down("line", line.decode())
            self.answer(json.loads(line))
        return True

    def hang_up(self) -> None:
        if self.executor is not None:
            self.selector.unregister(self.executor)
            self.executor.close()
            self.executor = None

    def write_down(self, kind: str, what: str) -> None:
        now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self.log.write(json.dumps([now_ns, kind, what]) + "\n")

    def answer(self, said: dict[str, Any]) -> None:
        match said.get("type"):
            case None:
                self.say({"is_ok": True})
            case "OrderPlaced":
                self.place(said["order"])
            case "CancelPlaced":
                self.say(
                    {"type": "VenueCancelRejected", "order_id": said["order_id"], "reason": "gone"}
                )
            case "OrderQueried":
                status, filled = self.statuses.get(said["order_id"], (None, "0"))
                self.say(
                    {
                        "type": "VenueOrderStatus",
                        "order_id": said["order_id"],
                        "status": status,
                        "filled": filled,
                    }
                )
            case "BookQueried":
                self.book(said)

    def place(self, order: dict[str, Any]) -> None:
        self.orders += 1
        order_id, quantity = order["order_id"], Decimal(order["quantity"])
        self.say({"type": "VenueAccepted", "order_id": order_id, "venue_order_id": f"v{order_id}"})
        if self.orders % 3 == 0:
            self.statuses[order_id] = ("canceled", "0")
            self.say(
                {
                    "type": "VenueCanceled",
                    "order_id": order_id,
                    "leaves": str(quantity),
                    "reason": "ioc",
                }
            )
            return
        price, name = Decimal(order.get("limit_price") or "100"), order["instrument"]
        signed = quantity if order["side"] == "buy" else -quantity
        self.cash -= signed * price
        self.positions[name] = self.positions.get(name, Decimal(0)) + signed
        self.statuses[order_id] = ("filled", str(quantity))
        fill = {
            "type": "VenueFilled",
            "order_id": order_id,
            "execution_id": f"x{self.orders}",
            "instrument": name,
            "side": order["side"],
            "price": str(price),
            "quantity": str(quantity),
            "leaves": "0",
            "fee": "0",
            "liquidity": "taker",
            "venue_ns": self.orders,
        }
        self.fills.append(fill)
        self.say(fill)

    def book(self, said: dict[str, Any]) -> None:
        since = said.get("since_ns", 0)
        self.say(
            {
                "type": "VenueBook",
                "request_id": said["request_id"],
                "cash": str(self.cash),
                "fees": "0",
                "positions": {name: str(held) for name, held in self.positions.items() if held},
                "open_orders": [],
                "executions": [
                    {**fill, "at_ns": 0} for fill in self.fills if fill["venue_ns"] >= since
                ],
            }
        )

    def say(self, report: dict[str, Any]) -> None:
        if self.executor is not None:
            with contextlib.suppress(OSError):
                self.executor.sendall(json.dumps({**report, "at_ns": 0}).encode() + b"\n")


def listener() -> socket.socket:
    found = socket.socket()
    found.bind(("127.0.0.1", 0))
    found.listen()
    return found


def write(path: Path, address: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(address))
    os.chmod(temporary, 0o600)
    temporary.replace(path)


if __name__ == "__main__":
    Venue(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]).run()
