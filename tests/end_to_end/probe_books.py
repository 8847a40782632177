from tests.end_to_end import test_load
from tests.peers import need
from tests.running import *
import re, pathlib
class P(test_load.LoadTests):
    timeout=400
    def mem(self):
        s=pathlib.Path(f"/proc/{self.server.process.pid}/smaps_rollup").read_text()
        st=pathlib.Path(f"/proc/{self.server.process.pid}/smaps").read_text()
        heap=re.search(r"\[heap\].*?Rss:\s+(\d+)",st,re.S)
        return self.server.resident_octets()//1024, heap and heap[1]
    async def test_five_thousand_calls_leave_rows_and_nothing_else(self):
        sipp = need("sipp")
        (callee_port,) = free_ports(1)
        await self.server.api.add_phone("callee")
        phone = await self.silent_phone(user="callee")
        await phone.register(contact=f"sip:callee@{LOOPBACK}:{callee_port}")
        callee = self.sipp(sipp, "load_answer", callee_port)
        await callee.seen("Scenario Screen")
        t=0
        print(self.mem())
        for n in (500,500,2000,5000,5000,5000):
            t+=n
            await self.run_calls(sipp,n,t)
            print(n,self.mem(), flush=True)
        await callee.kill()
del test_load
