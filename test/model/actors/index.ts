import type { Rules, Settings } from '../rules.js'
import type { Held, Op, Task } from '../task.js'
import { beside } from './beside.js'
import { destroying } from './destroy.js'
import { flushing } from './flush.js'
import { reading } from './read.js'
import { replacing } from './replace.js'
import { writing } from './write.js'

/**
 * The first step of an operation, under these rules: put together as `src/store/session-store.ts` does. `next` is the
 * one that the process does after it, and `held` the handle that the one before left to it.
 */
export const beginning = (
  rules: Rules,
  settings: Settings,
): ((op: Op, next: Op | undefined, held: Held | undefined) => Task) => {
  const reads = reading(rules, settings)
  const flushes = flushing(rules, settings)
  const writes = writing(rules, settings, reads, flushes)
  const side = beside(rules, settings, reads, flushes)
  const replaces = replacing(rules, settings, reads, flushes)
  const destroys = destroying(rules, settings)

  return (op, next, held) => {
    switch (op.do) {
      case 'save':
        return writes.save({ write: op.write, durable: op.durable }, usesHandle(next))
      case 'save again':
        return writes.saveAgain(op, held)
      case 'update':
        return writes.update(op.write)
      case 'read':
        return side.read(usesHandle(next))
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
      case 'put tombstone':
        return destroys.putTombstone()
      case 'forget':
        return replaces.forget(op.write)
      case 'give back':
        return replaces.giveBack(op)
    }
  }
}

export const usesHandle = (op: Op | undefined): boolean => op?.do === 'save again'
