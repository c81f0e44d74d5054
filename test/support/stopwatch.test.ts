import { expect, test } from 'vitest'
import { startWatch } from './stopwatch.js'

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

test('a wait is measured', async () => {
  const watch = startWatch()
  await expect.poll(watch, { timeout: 15_000 }).toBeGreaterThan(200)
})

test('time for which the process does not come to run is not measured', async () => {
  const watch = startWatch()
  await pause(20)
  for (const until = performance.now() + 400; performance.now() < until; );
  await pause(20)
  expect(watch()).toBeLessThan(300)
})
