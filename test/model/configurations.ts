import type { Configuration } from './configuration.js'

/*
 * What the rules are searched for, by the promise that is foremost in each (every search checks them all). The
 * letters are explained in `configuration.ts`. The deep ones take up to some minutes each.
 */

const warm = { starts: 'warm', maxStaleCount: 2 } as const
const cold = { starts: 'cold', maxStaleCount: 2 } as const
const fresh = { starts: 'new', maxStaleCount: 2 } as const
const deep = { isDeep: true } as const
const ownView = { isAsymmetric: true, view: 'own' } as const
const list = { isAsymmetric: true } as const

const updates: readonly Configuration[] = [
  { ...warm, name: 'i3.parallel', processes: ['W', 'W', 'W', 'R'], nobodyGivesUp: true, maxAttempts: 4 },
  { ...cold, name: 'i3.cold', processes: ['W', 'W', 'R'], nobodyGivesUp: true, maxAttempts: 4 },
  { ...warm, name: 'i3.touch', processes: ['WW', 'W', 'T', 'F'] },
  { ...warm, name: 'i3.lost-reply', processes: ['W', 'W', 'F'], faults: { lostInCache: 2 } },
  { ...warm, name: 'i3.late-command', processes: ['W', 'W', 'R'], faults: { lostInCache: 1, lateInCache: 1 } },
  { ...warm, name: 'i3.too-large', processes: ['W', 'W', 'R'], tooLarge: [0] },
  { ...cold, name: 'i3.too-large-cold', processes: ['W', 'W', 'R'], tooLarge: [0], faults: { lostInCache: 1 } },
  { ...warm, name: 'i3.backend-down', processes: ['WW', 'W', 'G'], faults: { backendOutages: 1, lostInCache: 1 } },
]

const losses: readonly Configuration[] = [
  { ...warm, name: 'i4.n1', maxStaleCount: 1, processes: ['W', 'W'], faults: { losses: 2 } },
  { ...warm, name: 'i4.n2', processes: ['W', 'W', 'F'], faults: { losses: 1, leaseExpiries: 1 } },
  { ...warm, name: 'i4.n2-flusher', processes: ['W', 'W', 'W', 'F'], faults: { losses: 1 } },
  { ...warm, name: 'i4.n2-late-flush', processes: ['WW', 'WW'], faults: { losses: 1, crashes: 1 } },
  { ...warm, name: 'i4.n3', maxStaleCount: 3, processes: ['WWW', 'W'], faults: { losses: 1 } },
  { ...warm, name: 'i4.n3-flusher', maxStaleCount: 3, processes: ['WW', 'W', 'F'], faults: { losses: 1 } },
  { ...warm, name: 'i4.n3-older-flush', maxStaleCount: 3, processes: ['WWWW', 'F', 'F'], faults: { losses: 1 } },
  {
    ...warm,
    name: 'i4.backend-replies',
    processes: ['W', 'W'],
    faults: { losses: 1, lostInBackend: 1, lateInBackend: 1 },
  },
  { ...warm, name: 'i4.outage', processes: ['W', 'W', 'R'], faults: { outages: 1 } },
]

/** Where more writes follow a lost answer than the ring remembers. */
const overflows: readonly Configuration[] = [
  { ...warm, name: 'ring', processes: ['W', 'W', 'W'], ring: 1, faults: { lostInCache: 1, losses: 1 } },
  { ...warm, name: 'ring.two', processes: ['W', 'WW', 'W'], ring: 2, faults: { lostInCache: 1 } },
  {
    ...warm,
    name: 'ring.takeover',
    processes: ['W', 'W'],
    ring: 1,
    faults: { outages: 1, lostInBackend: 1, lateInBackend: 1 },
  },
  {
    ...warm,
    name: 'ring.too-large',
    processes: ['W', 'W'],
    ring: 1,
    tooLarge: [0],
    faults: { lostInBackend: 1, losses: 1 },
  },
]

const durable: readonly Configuration[] = [
  { ...warm, name: 'i5.losses', processes: ['W', 'D'], faults: { losses: 2, leaseExpiries: 1 } },
  { ...warm, name: 'i5.restart', processes: ['W', 'D'], faults: { restarts: 1, lateInCache: 1 } },
  { ...cold, name: 'i5.touch', processes: ['D', 'T', 'R'], faults: { losses: 1 } },
  { ...warm, name: 'i5.too-large', processes: ['W', 'D'], tooLarge: [0], faults: { outages: 1 } },
  { ...warm, name: 'i5.outage', processes: ['D', 'W', 'T'], faults: { outages: 1 } },
  {
    ...warm,
    name: 'i5.lost-look',
    isAsymmetric: true,
    processes: ['WW', 'D'],
    faults: { lostLooks: 1, lostInCache: 1 },
  },
  { ...warm, name: 'i5.cut-off', isAsymmetric: true, processes: ['WW', 'D', 'R'], faults: { cuts: 1 } },
]

/** Where not all have one view of the cache: what is left of the promises then. */
const views: readonly Configuration[] = [
  { ...warm, ...ownView, name: 'asleep.i5', processes: ['D', 'W', 'R'], faults: { outages: 1 } },
  { ...warm, ...ownView, name: 'asleep.i2', processes: ['W', 'X', 'R'], faults: { outages: 1 } },
  { ...warm, ...ownView, name: 'restarted.i5', processes: ['DR', 'W'], faults: { outages: 1, rebirths: 1 } },
  { ...warm, ...ownView, name: 'restarted.i2', processes: ['X', 'WR'], faults: { outages: 1, rebirths: 1 } },
  { ...warm, ...ownView, name: 'cut-off.i5', processes: ['WW', 'D', 'R'], faults: { cuts: 1 } },
  { ...warm, ...ownView, name: 'cut-off.i2', processes: ['W', 'X', 'R'], faults: { cuts: 1, losses: 1 } },
  { ...warm, ...ownView, name: 'cut-off.regenerate', processes: ['N', 'WW'], faults: { cuts: 1 } },
  { ...warm, ...list, name: 'list.i4', processes: ['WW', 'WW'], faults: { moves: 2 } },
  { ...warm, ...list, name: 'list.i5', processes: ['D', 'WD', 'R'], faults: { moves: 3 } },
  { ...warm, ...list, name: 'list.i2', processes: ['X', 'WW', 'D'], faults: { moves: 2 } },
  { ...warm, ...list, name: 'list.i8', processes: ['WZ', 'WW'], faults: { moves: 2, losses: 1 } },
  { ...warm, ...list, name: 'list.regenerate', processes: ['N', 'WW'], faults: { moves: 3 } },
]

const destroys: readonly Configuration[] = [
  { ...warm, name: 'i2.destroy', processes: ['W', 'X', 'R'], faults: { losses: 1, lostInCache: 1, lateInCache: 1 } },
  { ...cold, name: 'i2.late-fill', processes: ['R', 'R', 'XP'], faults: { losses: 2, leaseExpiries: 1 } },
  { ...warm, name: 'i2.flush', processes: ['D', 'XP', 'F'], faults: { losses: 1, lostInBackend: 1, lateInBackend: 1 } },
  { ...warm, name: 'i2.restart', processes: ['W', 'X', 'T'], faults: { restarts: 1, lateInCache: 1 } },
  {
    ...warm,
    name: 'i2.backend-down',
    processes: ['W', 'X', 'R'],
    faults: { backendOutages: 1, losses: 1, lostInBackend: 1 },
  },
  { ...warm, name: 'i2.too-large', processes: ['W', 'XP', 'R'], tooLarge: [0], faults: { losses: 1 } },
  { ...warm, name: 'i2.outage', processes: ['W', 'XP', 'R'], faults: { outages: 1 } },
  { ...fresh, name: 'i2.create', processes: ['C', 'W', 'X'], faults: { losses: 1, lostInCache: 1, lateInCache: 1 } },
  { ...fresh, name: 'i2.put', processes: ['K', 'W', 'X'], faults: { losses: 1, lateInCache: 1 } },
  {
    ...fresh,
    name: 'i2.deferred',
    persistOn: 'due',
    processes: ['C', 'WW', 'X'],
    faults: { losses: 1, lateInCache: 1 },
  },
  {
    ...fresh,
    name: 'i2.deferred-purge',
    persistOn: 'due',
    processes: ['C', 'W', 'XP'],
    faults: { lateInBackend: 1 },
  },
  {
    ...fresh,
    name: 'i2.alone',
    persistOn: 'due',
    processes: ['C', 'WW', 'XX'],
    faults: { losses: 1, lateInBackend: 1 },
  },
  {
    ...fresh,
    name: 'i2.alone-durable',
    persistOn: 'due',
    processes: ['C', 'D', 'X'],
    faults: { losses: 1, lateInBackend: 1, lostInCache: 1 },
  },
  {
    ...fresh,
    name: 'i2.alone-regenerate',
    persistOn: 'due',
    processes: ['C', 'N', 'X'],
    faults: { losses: 1, lateInBackend: 1 },
  },
  { ...fresh, name: 'i2.deferred-put', persistOn: 'due', processes: ['K', 'W', 'X'], faults: { losses: 1 } },
]

/** A session under an id whose session has expired; and destroys where nothing stood. */
const lives: readonly Configuration[] = [
  { ...warm, name: 'life.put', processes: ['W', 'K', 'R'], faults: { expiries: 1, losses: 1 } },
  { ...warm, name: 'life.late-save', processes: ['We', 'K'], faults: { expiries: 1, lostInCache: 1 } },
  { ...warm, name: 'life.flush', processes: ['WW', 'K'], faults: { expiries: 1, lateInBackend: 1 } },
  { ...cold, name: 'life.two', processes: ['K', 'K', 'W'], faults: { expiries: 1, losses: 1 } },
  { ...warm, name: 'life.touch', processes: ['K', 'T', 'D'], faults: { expiries: 1, lateInCache: 1 } },
  { ...warm, name: 'life.outage', processes: ['W', 'K'], faults: { expiries: 1, outages: 1 } },
  { ...warm, name: 'life.purge', processes: ['W', 'K', 'P'], faults: { expiries: 1, lateInBackend: 1 } },
  { ...warm, name: 'life.destroy', processes: ['K', 'X', 'W'], faults: { expiries: 1, losses: 1 } },
  { ...warm, name: 'life.regenerate', processes: ['N', 'K'], faults: { expiries: 1 } },
  { ...warm, name: 'life.deferred-row', persistOn: 'due', processes: ['W', 'K', 'F'], faults: { expiries: 1 } },
  { ...fresh, name: 'life.deferred', persistOn: 'due', processes: ['K', 'W', 'K'], faults: { expiries: 1 } },
  { ...fresh, name: 'nobody.put', processes: ['K', 'XP', 'W'], faults: { lateInBackend: 1, lostInBackend: 1 } },
  {
    ...fresh,
    name: 'nobody.put-loss',
    processes: ['K', 'XP'],
    faults: { lateInBackend: 1, losses: 1, lateInCache: 1 },
  },
  {
    ...fresh,
    name: 'nobody.deferred',
    persistOn: 'due',
    processes: ['K', 'W', 'XP'],
    faults: { lateInBackend: 1, losses: 1 },
  },
  { ...fresh, name: 'nobody.again', processes: ['K', 'XP', 'K'], faults: { lateInBackend: 1, losses: 1 } },
]

/** Readers who mark that nothing stands in the backend, and sessions that begin under the id meanwhile. */
const marks: readonly Configuration[] = [
  { ...fresh, name: 'mark.put', processes: ['K', 'R', 'R'], faults: { losses: 1, leaseExpiries: 1 } },
  { ...fresh, name: 'mark.lost-reply', processes: ['K', 'R'], faults: { losses: 1, lostInCache: 2, lateInCache: 1 } },
  { ...fresh, name: 'mark.restart', processes: ['K', 'R'], faults: { restarts: 1, lateInCache: 1 } },
  { ...fresh, name: 'mark.backend-replies', processes: ['K', 'R'], faults: { lostInBackend: 1, lateInBackend: 1 } },
  { ...fresh, name: 'mark.two', processes: ['K', 'K', 'R'], faults: { losses: 1 } },
  { ...fresh, name: 'mark.writer', processes: ['K', 'R', 'W'], faults: { losses: 1 } },
  { ...fresh, name: 'mark.destroy', processes: ['K', 'R', 'XP'], faults: { losses: 1 } },
  { ...fresh, name: 'mark.outage', processes: ['K', 'R'], faults: { outages: 1 } },
  { ...fresh, name: 'mark.deferred', persistOn: 'due', processes: ['K', 'R', 'W'], faults: { losses: 1 } },
  { ...fresh, name: 'mark.deferred-flush', persistOn: 'due', processes: ['C', 'WF', 'R'], faults: { losses: 1 } },
  { ...warm, name: 'mark.expired', processes: ['K', 'RP', 'R'], faults: { expiries: 1, losses: 1 } },
  { ...fresh, ...list, name: 'mark.cut-off', processes: ['K', 'R', 'W'], faults: { cuts: 1 } },
  { ...fresh, ...ownView, name: 'mark.asleep', processes: ['K', 'R', 'R'], faults: { outages: 1 } },
  { ...fresh, ...list, name: 'mark.list', processes: ['K', 'R', 'R'], faults: { moves: 2 } },
]

const others: readonly Configuration[] = [
  { ...cold, name: 'i6.readers', processes: ['RR', 'WW', 'R', 'F'] },
  { ...warm, name: 'i6.lost-reply', processes: ['RR', 'W', 'D'], faults: { lostInCache: 1, lateInBackend: 1 } },
  { ...warm, name: 'i8.drain', processes: ['WZ', 'WW'], faults: { losses: 2 } },
  { ...warm, name: 'i8.backend-down', processes: ['WZ', 'W'], faults: { backendOutages: 1, losses: 1 } },
  { ...warm, name: 'i8.drain-lost', processes: ['WZ', 'W', 'T'], faults: { losses: 1, lostInCache: 1 } },
  { ...warm, name: 'regenerate', processes: ['N', 'W', 'W'] },
  { ...warm, name: 'regenerate.loss', processes: ['N', 'W'], faults: { losses: 1, lostInCache: 1, lostInBackend: 1 } },
  { ...warm, name: 'regenerate.outage', processes: ['N', 'D'], faults: { outages: 1 } },
  { ...warm, name: 'regenerate.read', processes: ['N', 'R', 'W'], faults: { crashes: 1 } },
  { ...warm, name: 'regenerate.two', processes: ['N', 'N'], faults: { lostInBackend: 1 } },
  { ...warm, name: 'regenerate.destroy', processes: ['N', 'X'], faults: { lostInBackend: 1, losses: 1 } },
  { ...warm, name: 'regenerate.two-destroy', processes: ['N', 'N', 'X'] },
  { ...warm, name: 'regenerate.two-write', processes: ['N', 'N', 'W'], maxAttempts: 2 },
  { ...fresh, name: 'regenerate.deferred', persistOn: 'due', processes: ['C', 'N', 'W'], faults: { losses: 1 } },
  { ...warm, name: 'retries', processes: ['D', 'D'], faults: { losses: 1 }, nobodyGivesUp: true, maxAttempts: 6 },
]

/** A handle that is used again, after its save was acknowledged or rejected. */
const handles: readonly Configuration[] = [
  { ...warm, name: 'handle.durable', processes: ['We', 'W'], faults: { losses: 1 } },
  {
    ...warm,
    name: 'handle.durable-lost-reply',
    maxStaleCount: 3,
    processes: ['We', 'W'],
    faults: { losses: 1, lostInCache: 1 },
  },
  { ...warm, name: 'handle.durable-failed-look', processes: ['We', 'W'], faults: { lostLooks: 1 } },
  { ...warm, name: 'handle.durable-outage', processes: ['We', 'W'], faults: { outages: 1 } },
  { ...warm, name: 'handle.durable-loaded', processes: ['Re', 'W'], faults: { losses: 1 } },
  { ...warm, name: 'handle.durable-changed', processes: ['Wd', 'W'], faults: { losses: 1 } },
  { ...warm, name: 'handle.durable-ring', processes: ['We', 'WW'], ring: 1, faults: { losses: 1 } },
  { ...warm, name: 'handle.changed-ring', processes: ['Wd', 'WW'], ring: 1, faults: { losses: 1 } },
  {
    ...warm,
    name: 'handle.repeated',
    maxStaleCount: 1,
    processes: ['Ws', 'W'],
    faults: { losses: 1, backendOutages: 1 },
  },
  { ...warm, name: 'handle.another', processes: ['Ww', 'D'], faults: { losses: 1 } },
  { ...warm, name: 'handle.merged', processes: ['Wwe', 'W'], faults: { losses: 1 } },
  { ...warm, name: 'handle.destroyed', processes: ['Ws', 'X'], faults: { losses: 1, lostInCache: 1 } },
]

/** An update, whose change is applied anew where another came between. */
const tries: readonly Configuration[] = [
  { ...warm, name: 'update', processes: ['U', 'W', 'F'], faults: { losses: 1, lostInCache: 1 } },
  { ...warm, name: 'update.two', processes: ['U', 'U'], faults: { lostInCache: 1 } },
]

/** Round the cache, and what is left there. */
const rounds: readonly Configuration[] = [
  { ...warm, name: 'failed-look', processes: ['W', 'WW'], faults: { lostLooks: 1, lostInCache: 1 } },
  {
    ...warm,
    name: 'takeover.refused',
    isAsymmetric: true,
    processes: ['W', 'FW'],
    ring: 1,
    faults: { lostInCache: 1, cuts: 1 },
  },
  { ...warm, name: 'takeover.late-look', processes: ['W', 'WW'], ring: 1, faults: { outages: 1 } },
  {
    ...warm,
    name: 'takeover.ledger',
    isAsymmetric: true,
    processes: ['W', '+WZ', 'F'],
    maxAttempts: 2,
    faults: { lostInCache: 1, cuts: 1 },
  },
  { ...warm, name: 'takeover.repair', isAsymmetric: true, processes: ['W', 'D'], faults: { lostInCache: 1, cuts: 1 } },
  {
    ...warm,
    name: 'takeover.repair-in-row',
    isAsymmetric: true,
    processes: ['We', 'F', 'R'],
    faults: { losses: 1, cuts: 1 },
  },
  { ...warm, name: 'takeover.repair-fill', isAsymmetric: true, processes: ['R', 'D'], faults: { losses: 1, cuts: 1 } },
]

const moves: readonly Configuration[] = [
  { ...warm, name: 'regenerate.backend-down', processes: ['N', 'W'], faults: { backendOutages: 1 } },
  { ...warm, name: 'regenerate.two-faults', processes: ['N', 'R'], faults: { lostInBackend: 2 } },
  { ...warm, name: 'regenerate.given-back', processes: ['N', 'W'], faults: { lostInBackend: 2, lostInCache: 1 } },
]

const larger: readonly Configuration[] = [
  { ...warm, ...deep, name: 'deep.i3', processes: ['W', 'W', 'W', 'R'], faults: { lostInCache: 2, lateInCache: 1 } },
  { ...warm, ...deep, name: 'deep.i3.too-large', processes: ['W', 'W', 'W'], tooLarge: [0], faults: { losses: 1 } },
  { ...warm, ...deep, name: 'deep.i4.n2', processes: ['W', 'W', 'W', 'F'], faults: { losses: 1, crashes: 1 } },
  { ...warm, ...deep, name: 'deep.i4.n2-losses', processes: ['W', 'W', 'F'], faults: { losses: 2 } },
  { ...warm, ...deep, name: 'deep.i4.n3', maxStaleCount: 3, processes: ['WWW', 'WW', 'F'], faults: { losses: 1 } },
  { ...warm, ...deep, name: 'deep.i5', processes: ['W', 'D', 'T'], faults: { restarts: 1, lateInCache: 1 } },
  { ...warm, ...deep, name: 'deep.i5.outage', processes: ['D', 'D', 'R'], faults: { outages: 1, lostInCache: 1 } },
  { ...warm, ...deep, name: 'deep.i2', processes: ['W', 'D', 'X', 'R'], faults: { losses: 1, lateInCache: 1 } },
  { ...warm, ...deep, name: 'deep.i8', processes: ['WZ', 'WZ', 'W'], faults: { losses: 1 } },
  { ...warm, ...deep, name: 'deep.regenerate', processes: ['N', 'W', 'W'], faults: { losses: 1, lostInCache: 1 } },
]

export const CONFIGURATIONS: readonly Configuration[] = [
  ...updates,
  ...losses,
  ...overflows,
  ...durable,
  ...views,
  ...destroys,
  ...lives,
  ...marks,
  ...others,
  ...handles,
  ...tries,
  ...rounds,
  ...moves,
  ...larger,
]
