"""A helper's first moments. It ends with the process that it helps, however that ends, and at once: also while torch,
which takes seconds, is still being imported. So nothing heavy is imported here before somebody watches.
"""

import multiprocessing
import os
import pickle
import threading
from multiprocessing.connection import Connection


def help_out(work: bytes, errors: Connection) -> None:
    """`work`: the pickled arguments of helpers.work_on, from the process that started this one."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_it() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_it, daemon=True).start()
    plan, place, threads, keep_going = pickle.loads(work)
    from madx.pipeline.helpers import work_on

    work_on(plan, place, threads, keep_going, errors)
