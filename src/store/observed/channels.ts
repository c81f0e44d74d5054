import { type Channel, channel } from 'node:diagnostics_channel'
import type { ChannelMessages } from '../../contract/events.js'
import type { Runtime } from '../../contract/time.js'

type ChannelName = keyof ChannelMessages

const CHANNELS: Readonly<Record<ChannelName, Channel>> = {
  'nonstick:read': channel('nonstick:read'),
  'nonstick:write': channel('nonstick:write'),
  'nonstick:flush': channel('nonstick:flush'),
  'nonstick:destroy': channel('nonstick:destroy'),
  'nonstick:fault': channel('nonstick:fault'),
  'nonstick:audit': channel('nonstick:audit'),
}

/** Whether anybody listens to a channel. Where nobody does, this look is all that the channel costs. */
export const isHeard = (name: ChannelName): boolean => CHANNELS[name].hasSubscribers

/** Publishes the message that `make` gives. Where nobody listens, `make` is not called. */
export const publish = <Name extends ChannelName>(name: Name, make: () => ChannelMessages[Name]): void => {
  if (isHeard(name)) CHANNELS[name].publish(make())
}

/** How a call ended. */
export type Ending<T> = { readonly value: T } | { readonly error: unknown }

/** Makes a call, and publishes how it ended and how long it took, before its caller hears of it. */
export const timed = async <Name extends ChannelName, T>(
  name: Name,
  runtime: Runtime,
  call: () => Promise<T>,
  messageOf: (ending: Ending<T>, durationMs: number) => ChannelMessages[Name],
): Promise<T> => {
  const startedMs = runtime.monotonicMs()
  const tell = (ending: Ending<T>): void => publish(name, () => messageOf(ending, runtime.monotonicMs() - startedMs))
  try {
    const value = await call()
    tell({ value })
    return value
  } catch (error) {
    tell({ error })
    throw error
  }
}
