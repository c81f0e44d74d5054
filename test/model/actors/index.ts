import type { Rules, Settings } from '../rules.js'
import type { Op, Task } from '../task.js'
import { beside } from './beside.js'
import { destroying } from './destroy.js'
import { flushing } from './flush.js'
import { reading } from './read.js'
import { replacing } from './replace.js'
import { writing } from './write.js'

/** The first step of an operation, under these rules: put together as `src/store/session-store.ts` does. */
export const beginning = (rules: Rules, settings: Settings): ((op: Op) => Task) => {
  const reads = reading(rules, settings)
  const flushes = flushing(rules, settings)
  const writes = writing(rules, settings, reads, flushes)
  const side = beside(rules, settings, reads, flushes)
  const replaces = replacing(rules, settings, reads, flushes)
  const destroys = destroying(rules, settings)

  return (op) => {
    switch (op.do) {
      case 'save':
        return writes.save({ write: op.write, durable: op.durable })
      case 'read':
        return side.read()
      case 'flush':
      case 'drain':
        return side.flush()
      case 'read and flush':
        return side.readAndFlush()
      case 'touch':
        return side.touch()
      case 'purge':
        return side.purge()
      case 'repair':
        return side.repair()
      case 'create':
        return replaces.create(op.write)
      case 'put':
        return replaces.put(op.write)
      case 'place':
        return replaces.place(op.envelope, op.token)
      case 'regenerate':
        return replaces.regenerate(op.write)
      case 'destroy':
        return destroys.destroy()
      case 'destroy again':
        return destroys.destroyAgain()
      case 'bury':
        return destroys.bury()
      case 'forget':
        return replaces.forget(op.write)
    }
  }
}
