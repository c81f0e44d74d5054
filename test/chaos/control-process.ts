/**
 * A client as simple as can be, on wires that no fault befalls: it asks each server again and again, and tells whoever
 * started it when an answer came later than the library could have waited for it. It ends with whoever started it.
 */
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ControlMessage, Probe } from './control.js'
import { monotonicMs } from './lines.js'

const PAUSE_MS = 100

const tell = (message: ControlMessage): void => {
  process.send?.(message)
}

/** Until the first byte of the answer, or until the server would not talk, which is no matter of the machine's. */
const ask = ({ port, request }: Probe): Promise<'answered' | 'refused'> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(Buffer.from(request, 'base64')))
    socket.once('data', () => {
      resolve('answered')
      socket.destroy()
    })
    socket.on('error', () => {})
    socket.once('close', () => resolve('refused'))
  })

const watch = async (probe: Probe): Promise<never> => {
  for (;;) {
    const from = monotonicMs()
    const { wire, withinMs } = probe
    // Also while there is none: the run may end before it comes.
    const waiting = setInterval(() => tell({ wire, from, to: monotonicMs() }), withinMs)
    const outcome = await ask(probe)
    clearInterval(waiting)
    const to = monotonicMs()
    if (outcome === 'answered' && to - from > withinMs) tell({ wire, from, to })
    await sleep(PAUSE_MS)
  }
}

for (const probe of JSON.parse(process.argv[2] ?? '[]') as Probe[]) void watch(probe)
process.on('disconnect', () => process.exit())
