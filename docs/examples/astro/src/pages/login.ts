import type { APIRoute } from 'astro'

export const POST: APIRoute = async ({ locals: { session }, request }) => {
  const { user } = await request.json() // Check the password here.
  await session.regenerate()
  session.data.user = user
  return Response.json({ user })
}
