/**
 * For `node --import`: moves the wall clock of a process by as many milliseconds as its own URL says (`?shiftMs=…`), so
 * that time passes as ever on another day. `Date` is all of the wall clock that programs see; `performance`,
 * `process.hrtime` and timers measure how long something takes, and stay. In `NODE_OPTIONS` it reaches all processes and
 * threads that a run starts, but no server that is not written in JavaScript: those keep the true time.
 * `scripts/test --at …` does that.
 */
const given = new URL(import.meta.url).searchParams.get('shiftMs')
if (!/^-?\d+$/.test(given ?? ''))
  throw new Error(`Expected moved-calendar.mjs?shiftMs= to be followed by a whole number of milliseconds, got ${given}`)
const shiftMs = Number(given)

const TrueDate = Date
const now = () => TrueDate.now() + shiftMs

globalThis.Date = new Proxy(TrueDate, {
  // Called as a function it gives the present moment as a text, whatever it is given.
  apply: () => new TrueDate(now()).toString(),
  construct: (target, args, newTarget) => Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget),
  get: (target, name, receiver) => (name === 'now' ? now : Reflect.get(target, name, receiver)),
})
// So that every date that was made by either is seen to be one of ours.
TrueDate.prototype.constructor = globalThis.Date
