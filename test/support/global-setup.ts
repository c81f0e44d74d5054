import { openServerDesk } from './desk.js'

/** Opens a server desk when vitest is run by hand; `scripts/test` brings its own. */
export const setup = async (): Promise<(() => Promise<void>) | undefined> => {
  if (process.env['NONSTICK_SERVER_DESK'] !== undefined) return undefined
  const desk = await openServerDesk()
  process.env['NONSTICK_SERVER_DESK'] = desk.url
  return desk.close
}
