"""A session manager with one session whose process is played by the test."""

from decimal import Decimal
from typing import Any

import msgspec

from schemas.base import BootId, Event, SessionId
from schemas.control import EpochStarted, Member, PrepareAsked, Prepared
from schemas.isolation import Probed, SessionHosted, SessionSpoke
from schemas.orders import SignalRaised
from services.core import tell
from services.strategy.catalogue import catalogue_of
from services.strategy.config import Isolation
from services.strategy.isolated.child import Host
from services.strategy.isolated.frames import Opening
from services.strategy.manager import ManagerCore
from tests.builders import ACCOUNT, S_NS, quote, signal
from tests.strategy_rig import INSTRUMENTS, config, only, request

CLASSES = {"buys": "tests.unruly:Buys"}


class ManagerRig:
    """Tell the manager, and keep its journal.

    Attributes:
        core: the manager; another one after `restart`.
        session: the one session, of own code.
        kept: its journal.
    """

    def __init__(self, **fields: Any) -> None:
        self.config = config(classes=CLASSES, **fields)
        self.kept: list[Event] = []
        self.now_ns = S_NS
        self.core = self._made()
        self.session = self._started()
        self.tell(quote())

    def _made(self) -> ManagerCore:
        catalogue = catalogue_of(self.config)
        catalogue.isolate(Isolation.OWN_CODE)
        boot_id = BootId("strategy")
        return ManagerCore(self.config, ACCOUNT, INSTRUMENTS, boot_id=boot_id, catalogue=catalogue)

    def _started(self) -> SessionId:
        asked = request("buys")
        self.tell(PrepareAsked(at_ns=0, start_id="start", request=asked))
        probed = Probed(
            at_ns=0, start_id="start", strategy="buys", wanted=("QuoteReceived",), parameters={}
        )
        answer = only(Prepared, self.tell(probed))
        assert answer.session is not None
        epoch = EpochStarted(
            at_ns=0,
            epoch=1,
            start_id="start",
            operator="kim",
            members={"strategy": Member(boot_id=answer.boot_id, halts=answer.halts)},
            session=answer.session,
            request=asked,
        )
        self.tell(epoch)
        return answer.session

    def tell(self, event: Event | None) -> list[Event]:
        """Return what the manager says."""
        said = list(tell(self.core, event, self.now_ns))
        told = [] if event is None else [event]
        self.kept += [each for each in (*told, *said) if type(each) in self.core.keeps]
        return said

    def speak(self, *said: SignalRaised, wake_at_ns: int | None = None) -> list[Event]:
        """Return what the manager says to an answer of the session's process."""
        spoke = SessionSpoke(at_ns=0, session=self.session, said=said, wake_at_ns=wake_at_ns)
        return self.tell(spoke)

    def signal(self, number: str = "1", **fields: Any) -> SignalRaised:
        """Return a signal as its process would say it, with these fields changed."""
        made = signal(f"{self.session}-{number}", session=self.session, quantity="1")
        return msgspec.structs.replace(made, **fields)

    def restart(self) -> list[Event]:
        """Return what is said at first by the next process, of which only the journal is left."""
        self.core = self._made()
        for event in self.kept:
            self.core.restore(event)
        return self.tell(None)

    def host(self, hosted: SessionHosted, values: dict[str, Decimal] | None = None) -> Host:
        """Return the session's process as it begins."""
        opening = Opening(
            config=self.config,
            account=ACCOUNT,
            instruments=list(INSTRUMENTS.values()),
            memory_mb_max=512,
            strategy="buys",
            history=hosted.history,
            is_again=hosted.is_again,
            now_ns=self.now_ns,
            currency_values=values,
        )
        return Host(opening)
