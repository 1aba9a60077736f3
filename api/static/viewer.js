// Show the API's description, and sign out on a click.
"use strict";

SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#viewer",
  deepLinking: true,
  validatorUrl: null, // else the description is sent to a validator elsewhere
});

document.getElementById("sign-out").addEventListener("click", async () => {
  let told;
  try {
    const answer = await fetch("/api/v1/session", { method: "DELETE" });
    if (answer.ok || answer.status === 401) {
      location.assign("/sign-in");
      return;
    }
    told = (await answer.json()).detail;
  } catch {
    told = "the API does not answer";
  }
  document.getElementById("told").textContent = `You are still signed in: ${told}`;
});
